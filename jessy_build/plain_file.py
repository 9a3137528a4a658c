"""Open a file that is surely a plain one. Never waits for a pipe, never reads a device."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path


def open_plain(path: Path) -> FileIO:
    """Unbuffered, for reading. OSError, with a `strerror` for people, for whatever is no file."""
    _must_be_plain(path.stat().st_mode)
    # What stands there may have become a pipe meanwhile: opening one must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _must_be_plain(os.fstat(descriptor).st_mode)
        return FileIO(descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _must_be_plain(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise NotPlain(errno.EINVAL, "this is no plain file")


class NotPlain(OSError):
    """A pipe, a socket or a device."""

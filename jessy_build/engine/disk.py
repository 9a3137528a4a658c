"""What the operating system refuses, in words that say what to do."""

import errno
import shutil
from pathlib import Path

from jessy_build.diagnostics import StepError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (
    *FULL,
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE),
)
"""What the machine says, and no fault of ours: something stands where something else should."""
FULL_WORDS = ("No space left on device", "Disk quota exceeded")
"""How it reads where only the text has come back, from a child process or a library."""

ROOM = 1 << 16
"""Bytes that must be left."""


def refusal(error: OSError) -> StepError:
    if error.errno in FULL:
        return no_space()
    # Of a rename the second name is the one that people know.
    named = error.filename2 or error.filename
    where = f": {named}" if named else ""
    return StepError(f"{error.strerror or error}{where}", hint="mend that and build again")


def no_space() -> StepError:
    return StepError(
        "no space is left on the disk",
        hint="free some space and build again: what is finished stays, the rest goes on",
    )


def means_full(text: str) -> bool:
    return any(words in text for words in FULL_WORDS)


def is_full(folder: Path) -> bool:
    """Whether so little is left that whatever fails now may well fail for that."""
    try:
        return shutil.disk_usage(folder).free < ROOM
    except OSError:
        return False


def blamed(error: StepError, folder: Path) -> StepError:
    """The same error, with the full disk named where it is the cause, or may be."""
    if means_full(error.problem):
        return no_space()
    if is_full(folder):
        full = no_space()
        return StepError(f"{error.problem}; {full.problem}", hint=full.hint, log=error.log)
    return error

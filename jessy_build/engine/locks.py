"""Locks that are files, held by the kernel (flock): they end with the process that holds them.

Whoever holds a lock may remove its file, as the last thing done under it. One who waited for it
sees that and starts anew, so two never hold two different files of one name.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def hold(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Wait until no other process holds it; several may hold it `shared`."""
    file = take(path, shared=shared)
    try:
        yield
    finally:
        file.close()


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Never waits: False where another process holds it."""
    file = _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield file is not None
    finally:
        if file:
            file.close()


def take(path: Path, *, shared: bool = False) -> IO[bytes]:
    """The lock is let go when the file is closed, or its process ends."""
    file = _take(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    assert file is not None, "a lock that is waited for is got"
    return file


def is_held(path: Path) -> bool:
    """Whether a living process holds it. Makes no file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _take(path: Path, how: int) -> IO[bytes] | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        if is_still(path, file):
            return file
        file.close()


def is_still(path: Path, file: IO[Any]) -> bool:
    """Whether the open file is the one that lies there: it may have been removed meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

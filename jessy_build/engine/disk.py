"""What the operating system refuses, in words that say what to do."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jessy_build.diagnostics import StepError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("No space left on device", "Disk quota exceeded")
"""How it reads where only the text has come back, from a child process or a library."""


def refusal(error: OSError) -> StepError:
    if error.errno in FULL:
        return no_space()
    where = f": {error.filename}" if error.filename else ""
    return StepError(f"{error.strerror or error}{where}", hint="mend that and build again")


def no_space() -> StepError:
    return StepError(
        "no space is left on the disk",
        hint="free some space and build again: what is finished stays, the rest goes on",
    )


def means_full(text: str) -> bool:
    return any(words in text for words in FULL_WORDS)


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it, or nothing. A full disk is an OSError, as everywhere else."""
    try:
        db.execute("begin immediate")
        yield
        db.execute("commit")
    except BaseException as error:
        with suppress(sqlite3.OperationalError):
            db.execute("rollback")
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise

"""What the operating system refuses, in words that say what to do."""

import errno

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

"""Commands as this user types them, for hints that can be pasted."""

import shlex
from pathlib import Path


def command(word: str, *words: str) -> str:
    """`just build …` where a Justfile stands beside the user, `jessy build …` elsewhere."""
    return shlex.join(("just" if Path("Justfile").exists() else "jessy", word, *words))

"""What an enhancer gives back, and what it chooses with."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jessy_build.enhancers.place import Where

Pick = Callable[[Sequence[str]], str]
"""Draws one of several texts: for one answer always the same."""


class Put(NamedTuple):
    """An answer, and what was put into it."""

    answer: str
    text: str
    where: Where

    @classmethod
    def of(cls, answer: str | None, text: str, where: Where) -> "Put | None":
        return None if answer is None else cls(answer, text, where)

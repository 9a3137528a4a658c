"""How long an excerpt may be. Tokens are counted as four characters each: no tokenizer of a teacher
is asked, so that a plan needs none."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

CHARACTERS = 4
"""Of one token."""


class Fitted(NamedTuple):
    text: str
    left_out: int


def fitted(text: str, max_tokens: int) -> Fitted:
    """The text, or its first lines and one that says how many are missing. Of a first line that is
    too long by itself, its first characters."""
    room = max_tokens * CHARACTERS
    if len(text) <= room:
        return Fitted(text, 0)
    lines = text.split("\n")
    kept, used = 0, 0
    while used + len(lines[kept]) <= room:
        used += len(lines[kept]) + 1
        kept += 1
    begun = lines[:kept] or [lines[0][:room]]
    left_out = len(lines) - kept
    return Fitted("\n".join([*begun, _said(left_out)]), left_out)


def _said(lines: int) -> str:
    return f"… ({lines} more line{'s' * (lines != 1)})"


def runs(lines: Sequence[str], max_tokens: int) -> Iterator[tuple[int, int]]:
    """First and last line of each run that fits, counted from 1. One ends at a blank line where
    that leaves it at least half full."""
    room = max_tokens * CHARACTERS
    first = 1
    while first <= len(lines):
        last, used = first, len(lines[first - 1])
        while last < len(lines) and used + 1 + len(lines[last]) <= room:
            used += 1 + len(lines[last])
            last += 1
        if last < len(lines):
            last = _blank(lines, first, last, room // 2) or last
        yield first, last
        first = last + 1


def _blank(lines: Sequence[str], first: int, last: int, least: int) -> int:
    """The last blank line in the run behind which enough stands before it; 0 for none."""
    used, found = 0, 0
    for number in range(first, last + 1):
        used += len(lines[number - 1]) + 1
        if not lines[number - 1].strip() and used >= least:
            found = number
    return found

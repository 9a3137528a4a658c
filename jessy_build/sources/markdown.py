"""The lines of a Markdown text that begin something: headings, and what is no heading for standing
in a fence or in the front matter."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
PLAIN = re.compile(r" {0,3}(?![-*+>|#]|\d+[.)] )\S")
"""How a line begins that may be underlined to be a heading."""


class Line(NamedTuple):
    """`level` is 0 where it is no heading; `fenced` says that it belongs to a fence."""

    number: int
    level: int
    title: str
    fenced: bool


def front_matter(lines: Sequence[str]) -> int:
    """How many lines stand before the text: YAML between two lines of three dashes."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    ends = (n for n, line in enumerate(lines[1:], start=2) if line.rstrip() in ("---", "..."))
    return next(ends, 0)


def read(lines: Sequence[str]) -> Iterator[Line]:
    """Every line behind the front matter. Of a heading of two lines the first one is it."""
    fence = ""
    begin = front_matter(lines)
    for number, line in enumerate(lines[begin:], start=begin + 1):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            yield Line(number, 0, "", True)
        elif found:
            fence = found[1]
            yield Line(number, 0, "", True)
        elif atx := ATX.match(line):
            yield Line(number, len(atx[1]), (atx[2] or "").strip(), False)
        else:
            level = _underlined(lines, number)
            yield Line(number, level, line.strip() if level else "", False)


def _underlined(lines: Sequence[str], number: int) -> int:
    """1 or 2 where the next line makes this one a heading. A paragraph of several lines is none."""
    below = SETEXT.match(lines[number]) if number < len(lines) else None
    above = lines[number - 2] if number > 1 else ""
    if below is None or not PLAIN.match(lines[number - 1]):
        return 0
    if above.strip() and not ATX.match(above):
        return 0
    return 1 if below[1][0] == "=" else 2

"""Sections of Markdown: from a heading to the next one, be it above or below."""

from collections.abc import Iterator, Sequence

from jessy_build.sources import markdown
from jessy_build.sources.config import Written
from jessy_build.sources.excerpt import Piece

SUPPORTED: frozenset[Written] = frozenset(("markdown",))
WITHIN = " > "


def cut(lines: Sequence[str], language: Written) -> Iterator[Piece]:
    """Named by the headings above and its own: `Guide > Install`. A heading with nothing below it
    is no section."""
    above: dict[int, str] = {}
    start, begin = markdown.front_matter(lines) + 1, 0
    for line in markdown.read(lines):
        if line.level:
            yield from _section(lines, start, begin, line.number - 1, above)
            above = {level: title for level, title in above.items() if level < line.level}
            above[line.level] = line.title
            start = begin = line.number
    yield from _section(lines, start, begin, len(lines), above)


def _section(
    lines: Sequence[str], start: int, heading: int, last: int, above: dict[int, str]
) -> Iterator[Piece]:
    while last >= start and not lines[last - 1].strip():
        last -= 1
    while start <= last and not lines[start - 1].strip():
        start += 1
    underline = heading and heading < len(lines) and markdown.SETEXT.match(lines[heading])
    below = heading + (2 if underline else 1)
    if any(line.strip() for line in lines[max(below, start) - 1 : last]):
        yield Piece(start, last, WITHIN.join(above.values()), "\n".join(lines[start - 1 : last]))

"""Paragraphs: lines between blank ones. In Markdown a fence is not torn, and a heading is none."""

from collections.abc import Iterator, Sequence

from jessy_build.sources import markdown
from jessy_build.sources.config import Written
from jessy_build.sources.excerpt import Piece

SUPPORTED: frozenset[Written] | None = None
WORDS = 8
"""First words, by which a paragraph is known: an edit behind them leaves it the one it was."""


def cut(lines: Sequence[str], language: Written) -> Iterator[Piece]:
    """Named by the heading above, where there is one; else by its first words."""
    begin, heading = 0, ""
    for number, is_text, title in _read(lines, language):
        if is_text:
            begin = begin or number
        elif begin:
            yield _piece(lines, begin, number - 1, heading)
            begin = 0
        heading = title or heading
    if begin:
        yield _piece(lines, begin, len(lines), heading)


def first_words(text: str) -> str:
    return " ".join(text.split(None, WORDS)[:WORDS])


def _piece(lines: Sequence[str], first: int, last: int, heading: str) -> Piece:
    text = "\n".join(lines[first - 1 : last])
    words = first_words(text)
    return Piece(first, last, heading or words, text, mark=words)


def _read(lines: Sequence[str], language: Written) -> Iterator[tuple[int, bool, str]]:
    """Number, whether a paragraph may go on there, and the title of a heading."""
    if language != "markdown":
        for number, line in enumerate(lines, start=1):
            yield number, bool(line.strip()), ""
        return
    under = 0
    for said in markdown.read(lines):
        if said.level:
            under = said.number + 1 if markdown.SETEXT.match(_at(lines, said.number)) else 0
            yield said.number, False, said.title
        else:
            text = said.fenced or bool(lines[said.number - 1].strip())
            yield said.number, text and said.number != under, ""


def _at(lines: Sequence[str], index: int) -> str:
    return lines[index] if index < len(lines) else ""

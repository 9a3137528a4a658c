"""Chunks: whole lines, as many as fit."""

from collections.abc import Iterator, Sequence

from jessy_build.sources import lengths
from jessy_build.sources.config import Written
from jessy_build.sources.excerpt import Piece
from jessy_build.sources.paragraphs import first_words

SUPPORTED: frozenset[Written] | None = None


def cut(lines: Sequence[str], language: Written, max_tokens: int) -> Iterator[Piece]:
    for first, last in lengths.runs(lines, max_tokens):
        while first <= last and not lines[first - 1].strip():
            first += 1
        while last >= first and not lines[last - 1].strip():
            last -= 1
        if first <= last:
            text = "\n".join(lines[first - 1 : last])
            words = first_words(text)
            yield Piece(first, last, words, text, mark=words)

"""A file → its excerpts: Markdown by its headings, code by its functions, anything by blank lines
or by size.

An excerpt is known by its file and its name, not by its lines, and so stays the same one when it is
edited or moved (`plan.dealing` says which row gets which).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from jessy_build.sources import chunks, functions, languages, lengths, paragraphs, sections
from jessy_build.sources.config import Sources, Unit, Written
from jessy_build.sources.excerpt import Excerpt, Piece

SUPPORTED: Mapping[Unit, frozenset[Written] | None] = {
    "file": None,
    "section": sections.SUPPORTED,
    "paragraph": paragraphs.SUPPORTED,
    "function": functions.SUPPORTED,
    "chunk": chunks.SUPPORTED,
}
"""The languages that have such units; None: all."""


class Cut(NamedTuple):
    """What stands in one file."""

    excerpts: tuple[Excerpt, ...]
    broken: tuple[int, ...] = ()
    """The lines where functions begin that a syntax error makes unreadable."""


def has_units(language: Written, unit: Unit) -> bool:
    supported = SUPPORTED[unit]
    return supported is None or language in supported


def cut(text: str, path: str, config: Sources) -> Cut:
    """MissingPackage where functions are wanted and this machine has no tree-sitter."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    language = languages.of(path)
    broken: tuple[int, ...] = ()
    pieces: Iterable[Piece]
    if config.unit == "function":
        pieces, broken = functions.find(lines, language, path)
    else:
        pieces = _UNITS[config.unit](lines, language, config.max_tokens)
    return Cut(tuple(_excerpts(pieces, path, language, config.max_tokens)), broken)


def _excerpts(
    pieces: Iterable[Piece], path: str, language: Written, max_tokens: int
) -> Iterator[Excerpt]:
    seen: Counter[str] = Counter()
    for piece in pieces:
        name = piece.name or path.rpartition("/")[2]
        words = dict.fromkeys(filter(None, (piece.name, piece.mark)))
        key = " ".join((path, *words))
        seen[key] += 1
        if seen[key] > 1:
            key = f"{key} ({seen[key]})"
        text, left_out = lengths.fitted(piece.text, max_tokens)
        shown = languages.LANGUAGES[language].name
        yield Excerpt(path, piece.first, piece.last, name, shown, text, left_out, key)


def _file(lines: Sequence[str], language: Written, max_tokens: int) -> Iterator[Piece]:
    filled = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if filled:
        text = "\n".join(lines[filled[0] - 1 : filled[-1]])
        yield Piece(filled[0], filled[-1], "", text)


_UNITS: Mapping[Unit, Callable[[Sequence[str], Written, int], Iterator[Piece]]] = {
    "file": _file,
    "section": lambda lines, language, _: sections.cut(lines, language),
    "paragraph": lambda lines, language, _: paragraphs.cut(lines, language),
    "chunk": chunks.cut,
}

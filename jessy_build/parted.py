"""Where two texts part ways, shown with a caret under the first character that differs."""

from itertools import zip_longest

from jessy_build.diagnostics import width

BEFORE, AHEAD = 24, 40
"""Characters that are shown around the first that differs."""


def at(one: str, other: str) -> int:
    """The place of the first character that differs; behind the shorter text where none does."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def shown(one: tuple[str, str], other: tuple[str, str]) -> str:
    """Two lines and a caret. Each text comes behind its name."""
    return _lines(one, other, at(one[1], other[1]))


def pieces(one: tuple[str, list[str]], other: tuple[str, list[str]]) -> str:
    """The same of texts that were cut into tokens: bars stand between them, and the caret under
    the first that differs."""
    (name, ours), (other_name, theirs) = one, other
    pairs = zip_longest(ours, theirs)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), len(ours))
    start = max(0, place - 4)
    cut = ["|".join(text[start:]) for text in (ours, theirs)]
    before = len("|".join(ours[start:place])) + bool(ours[start:place])
    return _lines((name, cut[0]), (other_name, cut[1]), before, "…" if start else "")


def _lines(one: tuple[str, str], other: tuple[str, str], place: int, more: str = "") -> str:
    start = max(0, place - BEFORE)
    before = ("…" if start else more) + escaped(one[1][start:place])
    wide = max(len(one[0]), len(other[0]))
    lines = [f"  {name:{wide}}  {before}{_ahead(text, place)}" for name, text in (one, other)]
    return "\n".join([*lines, f"  {'':{wide}}  {' ' * width(before)}^"])


def _ahead(text: str, place: int) -> str:
    here = escaped(text[place : place + AHEAD])
    return here + ("…" if len(text) > place + AHEAD else "") if here else "(ends here)"


def escaped(text: str) -> str:
    """On one line, with line ends and tabs as one writes them."""
    for sign, written in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(sign, written)
    return text

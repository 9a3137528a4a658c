"""The row of a line that is right beyond doubt. Of all others it says nothing: `rows` does.

Files of hundreds of thousands of rows are nearly always right, and are read for every plan. So the
way through this file is short, and whatever is not as it should be ends in `None`.
"""

from collections.abc import Callable
from json.decoder import JSONDecoder
from json.scanner import make_scanner
from sys import intern
from typing import Any

from jessy_build.teachers.rows import MAX_LINE, TURNS, Row

read: Callable[[str, int], tuple[Any, int]] = make_scanner(
    JSONDecoder()  # type: ignore[arg-type]
)
ENDS = ("\n", "", "\r\n", "\r")
ABSENT = object()
NO_CATEGORY = object()
DEFAULTS = {
    "category": NO_CATEGORY,
    **dict.fromkeys(("topic", "language", "complexity"), ABSENT),
    **dict.fromkeys(("iterations", "messages", *TURNS), ABSENT),
}
"""In the order of `values()` below. None and '' stand for nothing here: a row may not say them."""


class Labels(dict[object, str | None]):
    """Each label of a file once, however many rows say it; ValueError for what is none."""

    def __init__(self) -> None:
        super().__init__({ABSENT: "", NO_CATEGORY: None})

    def __missing__(self, value: object) -> str:
        if type(value) is not str or not value or value.isspace():
            raise ValueError(value)
        value.encode()  # Half a character is no label.
        self[value] = known = intern(value)
        return known


def row(line: bytes, file: str, number: int, labels: Labels) -> Row | None:
    if len(line) > MAX_LINE:
        return None
    try:
        text = line.decode()
        found, end = read(text, 0)
        said = {**DEFAULTS, **found}
        if len(said) != len(DEFAULTS) or text[end:] not in ENDS:
            return None
        category, topic, language, complexity, iterations, turns, user, answer = said.values()
        strings = 2 * len(found)
        if turns is ABSENT:
            texts: tuple[str, ...] = (user, answer)
            if user.isspace() or answer.isspace() or not user or not answer:
                return None
        elif user is ABSENT and answer is ABSENT:
            texts = _texts(turns)
            strings += 4 * len(turns) - 1
        else:
            return None
        if iterations is ABSENT:
            iterations = None
        elif type(iterations) is int and iterations >= 1:
            strings -= 1
        else:
            return None
        quotes = text.count('"')
        if "\\" in text:
            if "\\u" in text:
                "".join(texts).encode()  # UnicodeEncodeError, a ValueError, for half a character.
            quotes -= text.replace("\\\\", "").count('\\"')
        if quotes != 2 * strings:
            # A key stands twice; the reader of JSON took the last one without a word.
            return None
        about = labels[category], labels[topic], labels[language], labels[complexity]
        # As Row(...) does it, without the cost of reading the arguments by name.
        return tuple.__new__(Row, (texts, file, number, *about, iterations))
    except (ValueError, StopIteration, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _texts(turns: list[dict[str, str]]) -> tuple[str, ...]:
    texts = []
    role, next_role = TURNS
    for turn in turns:
        text = turn["content"]
        if turn["role"] != role or len(turn) != 2 or text.isspace() or not text:
            raise ValueError(turn)
        texts.append(text)
        role, next_role = next_role, role
    if role != TURNS[0] or not texts:
        raise ValueError(turns)
    return tuple(texts)

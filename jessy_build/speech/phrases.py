"""Find phrases of a recipe in an answer, as people mean them: whole words, whatever their case.

A capital I is the i of English and the ı of Turkish, so that both readings are tried: a Turkish row
may quote English. Other letters must be the same: `sık` is not `sik`. An `*` at the end stands for
any ending, of which Turkish has many.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

TURKISH = str.maketrans({"I": "ı", "İ": "i"})
OTHERS = str.maketrans({"İ": "i"})
"""Before a text is made small: `lower` and `casefold` leave a combining dot behind the i of İ."""
READINGS = (TURKISH, OTHERS)


def said(phrases: Sequence[str], answer: str) -> str:
    """The first place of the answer that has one of the phrases, in the answer's own letters."""
    answer = _plain(answer)
    places = [
        found.span()
        for reading, pattern in zip(READINGS, _patterns(tuple(phrases)), strict=True)
        if (found := pattern.search(answer.translate(reading).lower()))
    ]
    start, end = min(places, default=(0, 0))
    return answer[start:end]


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).replace("’", "'").split())


@lru_cache(maxsize=64)
def _patterns(phrases: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(
            "|".join(_pattern(_plain(phrase).translate(reading).lower()) for phrase in phrases)
        )
        for reading in READINGS
    )


def _pattern(phrase: str) -> str:
    """Signs and emoji have no word edges: `—` is found between two letters."""
    stem = phrase.removesuffix("*")
    before = r"(?<!\w)" if re.match(r"\w", stem) else ""
    after = r"\w*" if stem != phrase else r"(?!\w)" if re.search(r"\w\Z", stem) else ""
    return before + re.escape(stem) + after

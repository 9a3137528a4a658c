"""What can be expected of an answer: one function a rule, listed by its name in a suite.

Each takes an answer and what is wanted, and returns what is wrong in words, or '' where it holds.
What is wanted is plain JSON, with `level` and `same` already put into numbers and a language.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jessy_build.speech import phrases, tongue
from jessy_build.speech.tongue import NAMES

NO_LETTERS = re.compile(r"[\W_]+")


class Said(NamedTuple):
    """One answer."""

    text: str
    ended: bool
    """Whether the model stopped by itself, and was not cut off."""


def words(said: Said, wanted: Mapping[str, int | None]) -> str:
    count, low, high = len(said.text.split()), wanted["min"] or 0, wanted["max"]
    if count < low or (high is not None and count > high):
        asked = f"at least {low}" if high is None else f"{low} to {high}"
        return f"{count} word{'s' * (count != 1)}, not {asked}"
    return ""


def language(said: Said, wanted: str) -> str:
    """The benefit of the doubt goes to the answer: names, code and `ok` are of no language."""
    counted = tongue.words(said.text)
    here, other = (counted.tr, counted.en) if wanted == "tr" else (counted.en, counted.tr)
    if wanted == "mixed" or other <= here:
        return ""
    foreign = NAMES["en" if wanted == "tr" else "tr"]
    return f"not {NAMES[wanted]}: {other} words are {foreign}, {here} {NAMES[wanted]}"


def contains(said: Said, wanted: Sequence[str]) -> str:
    absent = [phrase for phrase in wanted if not phrases.said((phrase,), said.text)]
    return f"does not say {_listed(absent, 'or')}" if absent else ""


def any_of(said: Said, wanted: Sequence[str]) -> str:
    found = phrases.said(tuple(wanted), said.text)
    return "" if found else f"says none of {_listed(wanted, 'or')}"


def lacks(said: Said, wanted: Sequence[str]) -> str:
    found = phrases.said(tuple(wanted), said.text)
    return f"says '{found}'" if found else ""


def equals(said: Said, wanted: Sequence[str]) -> str:
    readings = _readings(said.text)
    if any(readings & _readings(text) for text in wanted):
        return ""
    return f"is not {_listed(wanted, 'or')}"


def ends(said: Said, wanted: bool) -> str:
    if said.ended == wanted:
        return ""
    return "comes to no end" if wanted else "comes to an end"


RULES: Mapping[str, Callable[[Said, Any], str]] = {
    "words": words,
    "language": language,
    "contains": contains,
    "any_of": any_of,
    "lacks": lacks,
    "equals": equals,
    "ends": ends,
}


def _readings(text: str) -> set[str]:
    """Its words alone, with a capital I as the letter of either language."""
    folded = (text.translate(reading).lower() for reading in phrases.READINGS)
    return {NO_LETTERS.sub(" ", one).strip() for one in folded}


def _listed(texts: Sequence[str], joined: str) -> str:
    quoted = [f"'{text}'" for text in texts]
    return f" {joined} ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))

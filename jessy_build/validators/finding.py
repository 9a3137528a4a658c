"""What a validator says about a row, and the limits it holds rows against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from jessy_build.example import Example

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule. Rows that ask the same share an id, so `where` tells which one is meant.

    What is said of all rows together is a warning, and has neither id nor place.
    """

    example_id: str
    rule: str
    severity: Severity
    message: str
    where: str
    """As in `Origin.source`: a line of a file, or a teacher's request."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What the rows of these kinds say, or never say. No kinds: all of them."""

    categories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    complexity: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    require: tuple[str, ...] = ()


class Judged(NamedTuple):
    """What a judge said of a row."""

    scores: Mapping[str, int]
    """By criterion, from 1 to 5."""
    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the recipe asks of rows, in the recipe's words."""

    words: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By complexity level, both ends included. A level that is not here has no limits."""
    iterations: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """As `words`, of what a row says about itself."""
    min_chars: int = 1
    near_duplicate: float | None = None
    """Which share of two questions must be the same; None: nobody looks."""
    prompts: tuple[str, ...] = ()
    """What the evaluation will ask, and nobody may be trained on."""
    forbid: tuple[str, ...] = ()
    """What no answer says."""
    persona: Mapping[str, Manner] = field(default_factory=dict)
    """What some say, or never say, by the name of the rule."""
    at_least: Mapping[str, int] = field(default_factory=dict)
    """The lowest score that will do, by criterion."""
    judged: Mapping[tuple[str, str], Judged] = field(default_factory=dict)
    """By id and origin; nothing is held against a row that is not here."""
    counted: tuple[str, ...] = ()
    """Categories of which the recipe asks for a number of rows."""


def error(example: Example, rule: str, message: str) -> Finding:
    return Finding(example.id, rule, "error", message, example.origin.source)


def warning(rule: str, message: str) -> Finding:
    """Of all rows together: it rejects none of them."""
    return Finding("", rule, "warning", message, "")


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def excerpt(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return f"'{text if len(text) <= most else text[: most - 1] + '…'}'"

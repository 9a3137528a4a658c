"""Warn of what a category lacks of its quotas once rows were rejected, by rules or in a review.

What was made is what the recipe asks for, to the row; so the rows that fell are what is missing. Of
`count: all` nothing is missing, since no number was asked for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, percent, warning

RULE = "balance"

SHORT = 0.1
"""The part of its rows that a topic, language or level must have lost to be told."""
FEW = 2
"""One row less is no imbalance, however small the part."""
SHOWN = 6

Name = tuple[str, str]
"""Kind and name: `("language", "tr")`."""


class Part(NamedTuple):
    name: Name
    rows: int
    asked: int

    @property
    def lost(self) -> float:
        return 1 - self.rows / self.asked


def check(made: Sequence[Example], kept: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for category in limits.counted:
        asked, rows = _parts(made, category), _parts(kept, category)
        if not asked:
            continue
        whole, *parts = (Part(name, rows[name], count) for name, count in asked.items())
        # What lost as much as the whole category says no more than that.
        short = [part for part in parts if _is_short(part) and part.lost > whole.lost]
        if short or _is_short(whole):
            yield warning(RULE, _told(category, whole, short))


def _parts(examples: Sequence[Example], category: str) -> Counter[Name]:
    """The whole category first."""
    found: Counter[Name] = Counter()
    for example in examples:
        if example.category == category:
            found["", ""] += 1
            found["topic", example.topic] += bool(example.topic)
            found["language", example.language] += bool(example.language)
            found["level", example.complexity] += bool(example.complexity)
    return +found


def _is_short(part: Part) -> bool:
    return part.asked - part.rows >= FEW and part.lost >= SHORT


def _told(category: str, whole: Part, short: Sequence[Part]) -> str:
    worst = sorted(short, key=lambda part: (-part.lost, part.name))
    parts = [
        f"{' '.join(part.name)} {part.rows} of {part.asked} (-{percent(part.lost)})"
        for part in worst[:SHOWN]
    ]
    more = f", and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
    told = f"; short are {', '.join(parts)}{more}" if parts else ""
    return f"'{category}' has {whole.rows} of the {whole.asked} rows asked for{told}"

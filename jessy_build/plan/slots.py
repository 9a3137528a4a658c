"""Quotas → the list of items, exact to the last row."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place to be filled. Its name does not depend on any other slot of the category."""

    category: str
    topic: str
    language: str
    complexity: str
    ordinal: int

    @property
    def name(self) -> str:
        return "/".join(
            (self.category, self.topic, self.language, self.complexity, str(self.ordinal))
        )


def apportion(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split `total` by weights with the largest remainder (Hamilton's method); the sum is exact.

    Equal remainders go to the name that stands first. Weights need not sum to one.
    """
    weights = {name: Fraction(share).limit_denominator(10**9) for name, share in shares.items()}
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("the shares sum to nothing")
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    order = list(exact)
    by_remainder = sorted(order, key=lambda n: (counts[n] - exact[n], order.index(n)))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def cells(
    count: int,
    topics: Mapping[str, float],
    languages: Mapping[str, float],
    complexity: Mapping[str, float],
) -> dict[tuple[str, str, str], int]:
    """How many rows each topic × language × complexity gets, so that every margin is exact.

    Topics are apportioned first. Languages, then levels, are handed out over the whole category
    and dealt to the topics in turn, so that each margin is as close as whole rows allow.
    """
    by_topic = apportion(count, topics)
    deal_language = _dealer(apportion(count, languages))
    deal_complexity = _dealer(apportion(count, complexity))
    table: dict[tuple[str, str, str], int] = {}
    for topic, rows in by_topic.items():
        for _ in range(rows):
            cell = (topic, next(deal_language), next(deal_complexity))
            table[cell] = table.get(cell, 0) + 1
    return table


def slots(category: str, table: Mapping[tuple[str, str, str], int]) -> tuple[Slot, ...]:
    return tuple(
        Slot(category, topic, language, level, ordinal)
        for (topic, language, level), rows in table.items()
        for ordinal in range(rows)
    )


def _dealer(counts: Mapping[str, int]):  # type: ignore[no-untyped-def]
    """Names in an even mix: the next is always the one that lags furthest behind its share."""
    total = sum(counts.values())
    dealt = dict.fromkeys(counts, 0)
    for turn in range(1, total + 1):
        name = max(counts, key=lambda n: Fraction(counts[n] * turn, total) - dealt[n])
        dealt[name] += 1
        yield name

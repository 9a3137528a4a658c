"""Quotas → how many items of each kind: exact to the last row, and hardly moved by a change.

Languages and levels are apportioned over the whole category by largest remainders. Each topic then
gets its quota of both, rounded up or down so that all these sums come out; whole quotas stay as
they are, equal claims are settled by a digest of the names. Inside a topic languages and levels are
crossed in blocks (`blocks`). So a topic with whole quotas knows nothing of the others. With broken
quotas no method is exact, near to every quota and never takes a row back (Balinski and Young,
1982); tests/plan/test_slots.py counts how many rows this one takes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from jessy_build.apportion import apportion
from jessy_build.plan.blocks import Blocks, Margin, hashed
from jessy_build.plan.rounding import BITS, ONE, Table, Wish, rounded

Cell: TypeAlias = tuple[str, str, str]
"""Topic, language, level."""

TIE = ONE >> 16
"""Far less than the fractions of rows that quotas leave."""


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


def cells(
    count: int,
    topics: Mapping[str, float],
    languages: Mapping[str, float],
    complexity: Mapping[str, float],
) -> dict[Cell, int]:
    """The rows of each topic × language × level that has any, in alphabetical order.

    The sums of each topic, language and level are those of `apportion`, whatever the order in which
    they are given, and every cell is within two rows of its exact quota.
    """
    rows = {topic: rows for topic, rows in sorted(apportion(count, topics).items()) if rows}
    spoken, levels = Margin(languages), Margin(complexity)
    by_language = _dealt(rows, spoken, apportion(count, languages))
    by_level = _dealt(rows, levels, apportion(count, complexity))
    blocks = Blocks(spoken, levels)
    table: dict[Cell, int] = {}
    for topic, *sums in zip(rows, by_language, by_level, strict=True):
        counts = (held for row in blocks.table(topic, *sums) for held in row)
        table |= {(topic, *names): n for names, n in zip(blocks.names, counts, strict=True) if n}
    return table


def _dealt(rows: Mapping[str, int], margin: Margin, totals: Mapping[str, int]) -> Table:
    """The rows of each topic × name: each topic has its own, and each name its total."""
    products = [[count * part for part in margin.parts] for count in rows.values()]
    wish = Wish(
        exact=[[(product << BITS) // margin.whole for product in row] for row in products],
        low=[[product // margin.whole for product in row] for row in products],
        high=[[-(-product // margin.whole) for product in row] for row in products],
        lag=[[hashed(topic, name) % TIE for name in margin.names] for topic in rows],
    )
    return rounded(wish, [*rows.values()], [totals[name] for name in margin.names])

"""How many rows each topic, language and level of a category gets, and which rows fill them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Any, TypeAlias

from jessy_build.recipe.model import Category, Topic
from jessy_build.teachers.curated import Row

TOLERANCE = 1e-6
LABELS = ("topic", "language", "complexity")

MOVES = 500
"""How long a choice is looked for when taking rows in turn has found none."""

Need: TypeAlias = Mapping[str, int]


def topics(name: str, category: Category) -> tuple[Topic, ...]:
    """Topics with their counts filled in; what is left after those given is shared evenly."""
    written = as_written(category) or (Topic(name=name),)
    if category.count == "all":
        return written
    open_ones = [topic for topic in written if topic.count is None]
    left = category.count - sum(topic.count or 0 for topic in written)
    each, more = divmod(max(left, 0), len(open_ones)) if open_ones else (0, 0)
    counts = iter([each + 1] * more + [each] * (len(open_ones) - more))
    return tuple(
        topic if topic.count is not None else topic.model_copy(update={"count": next(counts)})
        for topic in written
    )


def as_written(category: Category) -> tuple[Topic, ...]:
    match category.topics:
        case None:
            return ()
        case dict() as counts:
            return tuple(Topic(name=name, count=count) for name, count in counts.items())
        case listed:
            return tuple(Topic(name=t) if isinstance(t, str) else t for t in listed)


def are_shares(weights: Mapping[str, float]) -> bool:
    """Weights that sum to 1 are shares; all others are meant as rows."""
    return abs(sum(weights.values()) - 1) <= TOLERANCE


def needs(category: Category) -> dict[str, Need]:
    """For each label that the category speaks of: the rows of each name, in sum its count."""
    if category.count == "all":
        return {}
    found: dict[str, Need] = {}
    if category.topics is not None:
        found["topic"] = {topic.name: topic.count or 0 for topic in topics("", category)}
    if category.languages is not None:
        found["language"] = apportion(
            category.count, {str(k): v for k, v in category.languages.items()}
        )
    if category.complexity is not None:
        found["complexity"] = apportion(category.count, category.complexity)
    return found


def pick(category: Category, rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows, in their order, that meet every need; fewer than asked where there is no such choice.

    Earlier rows win. What a row does not say about itself is filled with what is still needed.
    """
    if category.count == "all":
        return tuple(rows)
    choice = _Choice(needs(category), rows)
    choice.fill(category.count)
    return choice.labelled()


Cell: TypeAlias = tuple[str, ...]
"""What a row says of each label, '' where it says nothing: that fits every need."""


class _Choice:
    """Chosen rows by cell. No name ever gets more than it needs, so a full choice meets all."""

    def __init__(self, needs: Mapping[str, Need], rows: Sequence[Row]) -> None:
        self.needs = needs
        self.rows = rows
        self.cells = [tuple(getattr(row, label) for label in needs) for row in rows]
        self.held = Counter(self.cells)
        self.taken: Counter[Cell] = Counter()
        self.left = {label: dict(need) for label, need in needs.items()}

    def fill(self, count: int) -> None:
        for cell in sorted(self.cells, key=lambda cell: cell.count("")):
            if self.taken.total() < count and self._fits(cell):
                self._take(cell, 1)
        # The same walk each time: the rows picked are part of what is built.
        chance = Random(0)
        for _ in range(MOVES):
            if self.taken.total() in (0, len(self.rows), count):
                return
            self._move(chance)

    def labelled(self) -> tuple[Row, ...]:
        open_taken = Counter(self.taken)
        chosen = []
        for row, cell in zip(self.rows, self.cells, strict=True):
            if open_taken[cell] > 0:
                open_taken[cell] -= 1
                chosen.append(row._replace(**self._missing_labels(cell)))
        return tuple(chosen)

    def _missing_labels(self, cell: Cell) -> dict[str, Any]:
        filled: dict[str, Any] = {}
        for (label, left), name in zip(self.left.items(), cell, strict=True):
            if not name:
                filled[label] = next(name for name, rows in left.items() if rows > 0)
                left[filled[label]] -= 1
        return filled

    def _fits(self, cell: Cell) -> bool:
        return self.taken[cell] < self.held[cell] and all(
            not name or left.get(name, 0) > 0
            for left, name in zip(self.left.values(), cell, strict=True)
        )

    def _take(self, cell: Cell, rows: int) -> None:
        self.taken[cell] += rows
        for left, name in zip(self.left.values(), cell, strict=True):
            if name:
                left[name] = left.get(name, 0) - rows

    def _move(self, chance: Random) -> None:
        """Give one row back for another one, then take what has come to fit."""
        given = chance.choice([cell for cell, rows in self.taken.items() if rows])
        self._take(given, -1)
        others = [cell for cell in self.held if cell != given and self._fits(cell)]
        self._take(chance.choice(others) if others else given, 1)
        for cell in self.held:
            if self._fits(cell):
                self._take(cell, 1)


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole rows by weight, exact in sum; the largest remainders are rounded up."""
    parts = {name: Fraction(weight).limit_denominator(10**9) for name, weight in weights.items()}
    exact = {name: total * part / sum(parts.values()) for name, part in parts.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts

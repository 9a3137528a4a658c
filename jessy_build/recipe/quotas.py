"""How many rows each topic, language and level of a category gets, and which rows fill them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product, repeat
from operator import attrgetter
from random import Random
from typing import TypeAlias

from jessy_build.apportion import apportion
from jessy_build.recipe.model import Category, Topic
from jessy_build.teachers.curated import Row

TOLERANCE = 1e-6
LABELS = ("topic", "language", "complexity")

MOVES = 500
"""How long a choice is looked for when taking rows in turn has found none."""

Need: TypeAlias = Mapping[str, int]


def topics(name: str, category: Category) -> tuple[Topic, ...]:
    """Topics with their counts filled in; what is left after those given is shared evenly.

    Rows that cannot be shared go by the alphabet, so that the order of the topics never matters.
    """
    written = as_written(category) or (Topic(name=name),)
    if category.count == "all":
        return written
    open_ones = {topic.name: 1.0 for topic in written if topic.count is None}
    left = category.count - sum(topic.count or 0 for topic in written)
    counts = apportion(max(left, 0), open_ones) if open_ones else {}
    return tuple(
        topic.model_copy(update={"count": counts[topic.name]}) if topic.count is None else topic
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
        said = [map(attrgetter(label), rows) for label in needs]
        self.cells: list[Cell] = [*zip(*said, strict=True)] if said else [()] * len(rows)
        self.held = Counter(self.cells)
        self.taken: Counter[Cell] = Counter()
        # By the alphabet, so that the order in the recipe never matters.
        self.left = [dict(sorted(need.items())) for need in needs.values()]
        self.missing = 0

    def fill(self, count: int) -> None:
        self.missing = count
        self._take_in_turn()
        # The same walk each time: the rows picked are part of what is built.
        chance = Random(0)
        for _ in range(MOVES):
            if not self.missing or not self.taken or self.missing == count - len(self.rows):
                return
            self._move(chance)

    def labelled(self) -> tuple[Row, ...]:
        open_taken = Counter(self.taken)
        chosen = []
        for row, cell in zip(self.rows, self.cells, strict=True):
            if open_taken[cell] > 0:
                open_taken[cell] -= 1
                chosen.append(row)
        unsaid = any("" in cell for cell in self.taken)
        return tuple(self._filled_in(chosen) if unsaid else chosen)

    def _filled_in(self, chosen: Sequence[Row]) -> Iterator[Row]:
        """What a row does not say is the first name, by the alphabet, that is still needed."""
        fields: dict[str, Iterable[object]] = {
            field: map(attrgetter(field), chosen) for field in Row._fields
        }
        for label, left in zip(self.needs, self.left, strict=True):
            fields[label] = _said(fields[label], left)
        return map(Row._make, zip(*fields.values(), strict=True))

    def _take_in_turn(self) -> None:
        """Earlier rows first; those that would fit more than one need after all others."""
        for blanks in sorted({cell.count("") for cell in self.held}):
            alike = [cell for cell in self.held if cell.count("") == blanks]
            rows = iter(self.cells)
            while self.missing and (fitting := [*filter(self._room, alike)]):
                self._take_until_full(rows, fitting)

    def _take_until_full(self, rows: Iterator[Cell], fitting: Sequence[Cell]) -> None:
        """Take the next of the rows that are fitting, until one name has all it needs."""
        needs = {
            cell: [(left, name) for left, name in zip(self.left, cell, strict=True) if name]
            for cell in fitting
        }
        for cell in filter(needs.__contains__, rows):
            self.taken[cell] += 1
            self.missing -= 1
            full = not self.missing
            for left, name in needs[cell]:
                left[name] -= 1
                full |= not left[name]
            if full:
                return

    def _names_left(self, cell: Cell) -> Iterator[int]:
        for left, name in zip(self.left, cell, strict=True):
            if name:
                yield left.get(name, 0)

    def _room(self, cell: Cell) -> int:
        """How many rows more of the cell may be taken."""
        return min(self.missing, self.held[cell] - self.taken[cell], *self._names_left(cell))

    def _take(self, cell: Cell, rows: int) -> None:
        self.taken[cell] += rows
        self.missing -= rows
        for left, name in zip(self.left, cell, strict=True):
            if name:
                left[name] -= rows

    def _move(self, chance: Random) -> None:
        """Give some rows back for other ones, then take what has come to fit."""
        given = chance.choice([cell for cell, rows in self.taken.items() if rows])
        rows = chance.randint(1, min(self.missing, self.taken[given]))
        self._take(given, -rows)
        others = [cell for cell in self._fitting() if cell != given]
        if others:
            cell = chance.choice(others)
            self._take(cell, min(rows, self._room(cell)))
        for cell in self._fitting():
            self._take(cell, self._room(cell))

    def _fitting(self) -> list[Cell]:
        names = ([*(name for name, rows in left.items() if rows > 0), ""] for left in self.left)
        return [cell for cell in product(*names) if cell in self.held and self._room(cell)]


def _said(names: Iterable[object], left: Need) -> Iterator[object]:
    needed = chain.from_iterable(repeat(name, rows) for name, rows in left.items())
    return (name or next(needed) for name in names)

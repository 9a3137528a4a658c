"""Which excerpt each row of a category is written about.

In the order in which rows come into being as a category grows, each draws its excerpts by lot and
takes the first that has room: in the first round only such as no row has, then such as are used at
most twice as often as they were if all were used alike. The lot is drawn by the names of row and
excerpt alone, on a ring (consistent hashing with bounded loads: Karger 1997, Mirrokni 2016). So
every excerpt is used before one is used twice; a row more moves hardly any other; a new excerpt
takes its share and few rows beside (tests/plan/test_dealing.py counts them). Dealing them in turn
would move nearly all.
"""

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping

from jessy_build.plan.blocks import hashed
from jessy_build.plan.slots import Cell

POINTS = 16
"""Of each excerpt on the ring, so that none has a much larger share of it than another."""
DRAWS = 1000
"""Lots of one row. If all of them are full it goes on along the ring."""


def deal(
    rows: Mapping[Cell, int], weights: Mapping[Cell, float], excerpts: Iterable[str]
) -> dict[Cell, list[int]]:
    """For each row of each cell the number of its excerpt, in the order in which they are given.

    `weights` are the cells' exact quotas, up to a factor; `excerpts` names that differ.
    """
    names = list(excerpts)
    ring = sorted(
        (hashed(name, str(n)), which) for which, name in enumerate(names) for n in range(POINTS)
    )
    places = [place for place, _ in ring]
    used = [0] * len(names)
    dealt: dict[Cell, list[int]] = {cell: [] for cell in rows}
    for number, cell in enumerate(_growing(rows, weights)):
        room = 2 * (number // len(names)) + 1
        for lot in _lots(cell, len(dealt[cell])):
            at = bisect(places, lot) % len(ring)
            if used[ring[at][1]] < room:
                break
        else:
            while used[ring[at][1]] >= room:
                at = (at + 1) % len(ring)
        which = ring[at][1]
        used[which] += 1
        dealt[cell].append(which)
    return dealt


def _growing(rows: Mapping[Cell, int], weights: Mapping[Cell, float]) -> Iterator[Cell]:
    """The cell of each row, about as quotas fill them one row after another."""
    places = [
        # Equal shares come out of different products, and shall be equal.
        (float(f"{(ordinal + 0.5) / weights[cell]:.9e}"), hashed(*cell), cell)
        for cell, count in rows.items()
        for ordinal in range(count)
    ]
    return (cell for _, _, cell in sorted(places))


def _lots(cell: Cell, ordinal: int) -> Iterator[int]:
    return (hashed(*cell, str(ordinal), str(draw)) for draw in range(DRAWS))

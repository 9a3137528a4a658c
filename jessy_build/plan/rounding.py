"""Round a table of fractions to whole numbers whose rows and columns sum to what is asked.

Known as controlled rounding (Bacharach 1966, Cox and Ernst 1982): a flow of least cost, found by
moving one unit at a time along the cheapest way. All costs are whole numbers, so that every
machine rounds alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import permutations
from typing import TypeAlias

BITS = 40
ONE = 1 << BITS
"""Fractions are given in units of 1/ONE."""
OUTSIDE = ONE << 20
"""Costs more than any number of moves inside the bounds."""

Table: TypeAlias = list[list[int]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What each place of a table would like to hold."""

    exact: Table
    """In units of 1/ONE."""
    low: Table
    high: Table
    """Left only where the sums leave no other way."""
    lag: Table
    """Rounds a place down the sooner the greater it is, in units of 1/ONE."""


Move: TypeAlias = tuple[int, int]
"""What it costs, and the row in which a unit moves."""


def rounded(wish: Wish, rows: Sequence[int], columns: Sequence[int]) -> Table:
    """The whole numbers nearest to the wish with these sums; rows and columns total the same."""
    table = [_nearest(wish, row, total) for row, total in enumerate(rows)]
    _balance(wish, table, columns)
    return table


def _price(wish: Wish, row: int, column: int, units: int) -> int:
    """What the unit after so many costs. It grows from unit to unit."""
    price = (units << BITS) - wish.exact[row][column] + wish.lag[row][column]
    if units >= wish.high[row][column]:
        return price + OUTSIDE
    if units < wish.low[row][column]:
        return price - OUTSIDE
    return price


def _nearest(wish: Wish, row: int, total: int) -> list[int]:
    """One row by itself: the cheapest units up to its sum."""
    bounds = zip(wish.exact[row], wish.low[row], wish.high[row], strict=True)
    units = [min(max(exact >> BITS, low), high) for exact, low, high in bounds]
    places = range(len(units))
    for _ in range(total - sum(units)):
        units[min(places, key=lambda place: _price(wish, row, place, units[place]))] += 1
    for _ in range(sum(units) - total):
        held = [place for place in places if units[place]]
        units[max(held, key=lambda place: _price(wish, row, place, units[place] - 1))] -= 1
    return units


def _balance(wish: Wish, table: Table, columns: Sequence[int]) -> None:
    """Move units between columns until every column has its sum."""
    missing = [
        total - sum(held) for total, held in zip(columns, zip(*table, strict=True), strict=True)
    ]
    if not any(missing):
        return
    moves = _Moves(wish, table)
    while any(missing):
        way = _cheapest(missing, moves)
        missing[way[0][1]] += 1
        missing[way[-1][2]] -= 1
        for row, giver, taker in way:
            table[row][giver] -= 1
            table[row][taker] += 1
        for row in {row for row, _, _ in way}:
            moves.renew(row)


class _Moves:
    """For each pair of columns the row in which a unit moves most cheaply."""

    def __init__(self, wish: Wish, table: Table) -> None:
        self.wish = wish
        self.table = table
        pairs = permutations(range(len(table[0])), 2)
        self.heaps: dict[tuple[int, int], list[Move]] = {pair: [] for pair in pairs}
        for (giver, taker), heap in self.heaps.items():
            heap += [
                (self._cost(row, giver, taker), row)
                for row, units in enumerate(table)
                if units[giver]
            ]
            heapify(heap)

    def renew(self, row: int) -> None:
        """A row has changed. What was known of it stays in the heaps, and is passed over there."""
        for (giver, taker), heap in self.heaps.items():
            if self.table[row][giver]:
                heappush(heap, (self._cost(row, giver, taker), row))

    def best(self) -> Iterator[tuple[int, int, Move]]:
        for (giver, taker), heap in self.heaps.items():
            while heap and not self._holds(giver, taker, heap[0]):
                heappop(heap)
            if heap:
                yield giver, taker, heap[0]

    def _holds(self, giver: int, taker: int, move: Move) -> bool:
        cost, row = move
        return self.table[row][giver] > 0 and cost == self._cost(row, giver, taker)

    def _cost(self, row: int, giver: int, taker: int) -> int:
        units = self.table[row]
        gained = _price(self.wish, row, taker, units[taker])
        return gained - _price(self.wish, row, giver, units[giver] - 1)


def _cheapest(missing: Sequence[int], moves: _Moves) -> list[tuple[int, int, int]]:
    """From a column with too much to one with too little: (row, giver, taker) each (Bellman-Ford).

    No way round ever pays, since every row starts with its cheapest units and only cheapest ways
    are taken.
    """
    cost: dict[int, int] = {column: 0 for column, lack in enumerate(missing) if lack < 0}
    came: dict[int, tuple[int, int, int]] = {}
    best = list(moves.best())
    changed = True
    while changed:
        changed = False
        for giver, taker, (price, row) in best:
            if giver in cost and (taker not in cost or cost[giver] + price < cost[taker]):
                cost[taker] = cost[giver] + price
                came[taker] = (row, giver, taker)
                changed = True
    column = min((c for c, lack in enumerate(missing) if lack > 0), key=lambda c: cost[c])
    way = []
    while column in came:
        way.append(came[column])
        column = came[column][1]
    return way[::-1]


def plus(one: Table, other: Table) -> Table:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


def less(one: Table, other: Table) -> Table:
    return [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]

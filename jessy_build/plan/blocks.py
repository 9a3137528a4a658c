"""The rows of one topic by language and level, whatever the other topics are.

A block is a smallest table in which every language and every level has its share in whole rows.
A topic holds a run of blocks out of one endless row of them, which depends on the shares alone and
keeps close to them from each block to the next (as Tijdeman's chairman assignment, 1980, does with
a list of names). Where the run starts depends on the topic's name alone. So more rows only ever add
blocks, and a rare cell comes up in some topics and not in others.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import gcd, lcm

from jessy_build.apportion import shares
from jessy_build.plan.rounding import BITS, ONE, Table, Wish, less, plus, rounded

STARTS = 32
"""Places at which a run may start."""


class Margin:
    """Names in alphabetical order, with their exact shares over one denominator."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        exact = shares(weights)
        self.names = sorted(exact)
        self.whole = lcm(*(share.denominator for share in exact.values()))
        self.parts = [int(exact[name] * self.whole) for name in self.names]


class Blocks:
    """The row of blocks for these shares, made as far as somebody asks for it."""

    def __init__(self, languages: Margin, levels: Margin) -> None:
        self.names = [(language, level) for language in languages.names for level in levels.names]
        self.rows = lcm(languages.whole, levels.whole)
        """Of one block."""
        self.languages = [part * self.rows // languages.whole for part in languages.parts]
        self.levels = [part * self.rows // levels.whole for part in levels.parts]
        self.products = _products(self.languages, self.levels)
        """A cell's exact quota is its product / rows in each block."""
        self.period = self.rows // gcd(self.rows, *(p for row in self.products for p in row))
        """After so many blocks every cell has its exact quota, and all begins anew."""
        self.sums = [_full(0, self.products)]
        """What the first n blocks hold together."""

    def table(self, topic: str, languages: Sequence[int], levels: Sequence[int]) -> Table:
        """The topic's rows, where these are its sums. Those of a run of blocks are only that."""
        rows = sum(languages)
        start = hashed(topic) % min(self.period, STARTS)
        end = start + rows // self.rows
        run = less(self._sum(end), self._sum(start))
        # Out of the block to come, so that nothing is taken back when it is full.
        most = less(self._sum(end + 1), self._sum(end))
        table = self._filled_up(topic, run, most, languages, levels)
        if table is None or not self._is_near(table, rows):
            # Sums that are a row off can make that lopsided: about once in ten thousand topics.
            none, most = _full(0, run), _full(rows, run)
            table = self._filled_up(topic, none, most, languages, levels)
        assert table is not None, "only a run can be too much"
        return table

    def _filled_up(
        self, topic: str, run: Table, most: Table, languages: Sequence[int], levels: Sequence[int]
    ) -> Table | None:
        """The run and what is missing, in each place at most so much wherever the sums allow it;
        None where the run is too much already."""
        missing = [all_rows - sum(row) for all_rows, row in zip(languages, run, strict=True)]
        columns = zip(*run, strict=True)
        of_level = [
            all_rows - sum(column) for all_rows, column in zip(levels, columns, strict=True)
        ]
        if not any((*missing, *of_level)):
            return run
        if min(*missing, *of_level) < 0:
            return None
        products, left = _products(missing, of_level), sum(missing)
        pairs = [list(zip(*rows, strict=True)) for rows in zip(products, most, strict=True)]
        wish = Wish(
            exact=[[(product << BITS) // left for product in row] for row in products],
            low=[[min(product // left, cap) for product, cap in row] for row in pairs],
            high=[[min(-(-product // left), cap) for product, cap in row] for row in pairs],
            lag=self._lags(topic),
        )
        return plus(run, rounded(wish, missing, of_level))

    def _lags(self, topic: str) -> Table:
        """Up to half a row each way, so that not all topics round a rare cell alike."""
        lags = [hashed(topic, *names) % ONE - (ONE >> 1) for names in self.names]
        width = len(self.levels)
        return [lags[place : place + width] for place in range(0, len(lags), width)]

    def _is_near(self, table: Table, rows: int) -> bool:
        """Whether every cell is within two rows of its exact quota."""
        unit = self.rows**2
        return all(
            abs(cell * unit - rows * product) < 2 * unit
            for pair in zip(table, self.products, strict=True)
            for cell, product in zip(*pair, strict=True)
        )

    def _sum(self, blocks: int) -> Table:
        rounds, rest = divmod(blocks, self.period)
        while len(self.sums) <= rest:
            self.sums.append(plus(self.sums[-1], self._next()))
        each = self.period * rounds
        whole = [[each * product // self.rows for product in row] for row in self.products]
        return plus(whole, self.sums[rest])

    def _next(self) -> Table:
        """The block nearest to what is due after those made."""
        number, made = len(self.sums), self.sums[-1]
        block = self._block(self._open(number, made), self.rows)
        whole = self._open(self.period, made)
        if _fits(block, whole, self.rows):
            return block
        # One that leaves less than nothing for the others would not end with the exact quotas.
        return self._block(whole, self.rows * (self.period - number + 1))

    def _open(self, blocks: int, made: Table) -> Table:
        """What so many blocks lack, times the rows of a block."""
        return [
            [blocks * product - self.rows * cell for product, cell in zip(*pair, strict=True)]
            for pair in zip(self.products, made, strict=True)
        ]

    def _block(self, due: Table, whole: int) -> Table:
        wish = Wish(
            exact=[[(cell << BITS) // whole for cell in row] for row in due],
            low=[[max(0, cell // whole) for cell in row] for row in due],
            high=[[max(0, -(-cell // whole)) for cell in row] for row in due],
            lag=_full(0, due),
        )
        return rounded(wish, self.languages, self.levels)


def hashed(*names: str) -> int:
    """The same number on every machine, unlike Python's own hash."""
    return int.from_bytes(sha256("\0".join(names).encode()).digest()[:8], "big")


def _products(ones: Sequence[int], others: Sequence[int]) -> Table:
    return [[one * other for other in others] for one in ones]


def _full(number: int, like: Table) -> Table:
    return [[number] * len(row) for row in like]


def _fits(block: Table, whole: Table, rows: int) -> bool:
    pairs = zip(block, whole, strict=True)
    return all(held * rows <= cell for pair in pairs for held, cell in zip(*pair, strict=True))

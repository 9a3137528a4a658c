"""Excerpts for rows: all of them are used, and a change moves few rows: they are counted."""

from collections import Counter

import pytest

from jessy_build.plan import dealing, slots
from jessy_build.plan.slots import Cell

LANGUAGES = {"en": 0.5, "tr": 0.25, "mixed": 0.25}
LEVELS = {"low": 0.25, "medium": 0.5, "high": 0.25}
Row = tuple[Cell, int]


def deal(count: int, excerpts: list[str], *topics: str) -> dict[Row, str]:
    shares = dict.fromkeys(topics or ("topic",), 1.0)
    rows = slots.cells(count, shares, LANGUAGES, LEVELS)
    weights = {cell: LANGUAGES[cell[1]] * LEVELS[cell[2]] for cell in rows}
    dealt = dealing.deal(rows, weights, excerpts)
    assert {cell: len(numbers) for cell, numbers in dealt.items()} == rows
    return {
        (cell, ordinal): excerpts[number]
        for cell, numbers in dealt.items()
        for ordinal, number in enumerate(numbers)
    }


def names(count: int, of: int = 0) -> list[str]:
    return [f"src/file{of}.rs function_{number}" for number in range(count)]


def moved(before: dict[Row, str], after: dict[Row, str]) -> int:
    return sum(before[row] != after[row] for row in before.keys() & after.keys())


@pytest.mark.parametrize("excerpts", [1, 3, 10, 24, 60])
def test_no_excerpt_is_used_twice_before_each_is_used_once(excerpts: int) -> None:
    used = Counter(deal(24, names(excerpts)).values())
    assert len(used) == min(excerpts, 24)
    assert max(used.values()) <= 2 * (23 // excerpts) + 1


def test_the_order_in_which_excerpts_are_given_decides_nothing() -> None:
    assert deal(24, names(10)) == deal(24, names(10)[::-1])


def test_an_excerpt_is_the_same_row_s_on_every_machine() -> None:
    dealt = deal(6, names(4))
    assert [name[-1] for _, name in sorted(dealt.items())] == EXPECTED


EXPECTED = ["0", "3", "2", "2", "0", "1"]


@pytest.mark.parametrize(("excerpts", "rows", "most"), [(3, 24, 9), (10, 24, 6), (100, 24, 3)])
def test_a_new_excerpt_moves_little_more_than_its_share(
    excerpts: int, rows: int, most: float
) -> None:
    """On average over ten sets; dealt in turn it would be nearly all of them."""
    sums = 0
    for of in range(10):
        before = names(excerpts, of)
        after = deal(rows, [*before, f"new.rs added_{of}"])
        sums += moved(deal(rows, before), after)
    assert sums / 10 <= most


def test_an_excerpt_that_goes_moves_its_rows_and_few_others() -> None:
    sums = 0
    for of in range(10):
        before = names(10, of)
        sums += moved(deal(24, before), deal(24, before[1:]))
    assert sums / 10 <= 7


@pytest.mark.parametrize("excerpts", [1, 3, 10, 100])
def test_more_rows_leave_nearly_all_where_they_were(excerpts: int) -> None:
    sums = sum(
        moved(deal(24, names(excerpts, of)), deal(30, names(excerpts, of))) for of in range(10)
    )
    assert sums / 10 <= 2

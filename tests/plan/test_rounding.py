"""A table is rounded to its sums in the cheapest way there is."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from jessy_build.plan.rounding import ONE, Table, Wish, _price, rounded

SIZE = 3


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Wish, list[int], list[int]]:
    """Sums that some table has, and wishes that need not know of them."""
    table = draw(_tables(st.integers(0, 2)))
    exact = draw(_tables(st.integers(-ONE, 3 * ONE)))
    low = [[max(0, place // ONE) for place in row] for row in exact]
    high = [[max(0, -(-place // ONE)) for place in row] for row in exact]
    lag = draw(_tables(st.integers(0, ONE // 4)))
    columns = [sum(column) for column in zip(*table, strict=True)]
    return Wish(exact, low, high, lag), [sum(row) for row in table], columns


def _tables(places: st.SearchStrategy[int]) -> st.SearchStrategy[Table]:
    row = st.lists(places, min_size=SIZE, max_size=SIZE)
    return st.lists(row, min_size=2, max_size=2)


def cost(wish: Wish, table: Table) -> int:
    return sum(
        _price(wish, row, column, unit)
        for row, units in enumerate(table)
        for column, held in enumerate(units)
        for unit in range(held)
    )


def every(rows: list[int], columns: list[int]) -> list[Table]:
    ranges = (range(total + 1) for total in columns)
    first = [row for row in product(*ranges) if sum(row) == rows[0]]
    return [
        [[*row], [total - held for total, held in zip(columns, row, strict=True)]] for row in first
    ]


@given(tasks())
def test_no_other_table_with_these_sums_is_cheaper(
    task: tuple[Wish, list[int], list[int]],
) -> None:
    wish, rows, columns = task
    table = rounded(wish, rows, columns)
    assert [sum(row) for row in table] == rows
    assert [sum(column) for column in zip(*table, strict=True)] == columns
    assert min(min(row) for row in table) >= 0
    assert cost(wish, table) == min(cost(wish, other) for other in every(rows, columns))


def test_of_equal_rows_the_one_that_lags_less_gives_way() -> None:
    half = ONE // 2
    wish = Wish(exact=[[half, half]] * 2, low=[[0, 0]] * 2, high=[[1, 1]] * 2, lag=[[0, 2], [0, 1]])
    assert rounded(wish, [1, 1], [1, 1]) == [[1, 0], [0, 1]]

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.plan.slots import apportion, cells, slots

shares = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.floats(0.01, 100), min_size=1, max_size=8
)


@given(st.integers(0, 5000), shares)
def test_the_sum_is_exact_and_nobody_is_off_by_a_whole_row(
    total: int, weights: dict[str, float]
) -> None:
    counts = apportion(total, weights)
    assert sum(counts.values()) == total
    for name, share in weights.items():
        assert abs(counts[name] - total * share / sum(weights.values())) < 1 + 1e-6


@given(st.integers(1, 400), shares, shares, shares)
def test_every_margin_of_the_table_is_exact(
    count: int, topics: dict[str, float], languages: dict[str, float], levels: dict[str, float]
) -> None:
    table = cells(count, topics, languages, levels)
    for place, weights in enumerate((topics, languages, levels)):
        margin: Counter[str] = Counter()
        for cell, rows in table.items():
            margin[cell[place]] += rows
        wanted = {name: rows for name, rows in apportion(count, weights).items() if rows}
        assert dict(margin) == wanted


def test_counts_are_taken_as_they_are() -> None:
    assert apportion(100, {"low": 10, "medium": 70, "high": 20}) == {
        "low": 10,
        "medium": 70,
        "high": 20,
    }


def test_equal_remainders_go_to_the_first() -> None:
    assert apportion(2, {"a": 1, "b": 1, "c": 1}) == {"a": 1, "b": 1, "c": 0}


def test_a_slot_is_named_without_its_neighbours() -> None:
    table = {("greetings", "tr", "low"): 2}
    assert [slot.name for slot in slots("talk", table)] == [
        "talk/greetings/tr/low/0",
        "talk/greetings/tr/low/1",
    ]


def test_no_shares_at_all_is_refused() -> None:
    with pytest.raises(ValueError):
        apportion(3, {})

"""Rows split by weights: exact in sum, near to every share, whatever the order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.apportion import apportion

weights_of_names = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.floats(0.01, 100), min_size=1, max_size=8
)


@given(st.integers(0, 5000), weights_of_names)
def test_the_sum_is_exact_and_nobody_is_off_by_a_whole_row(
    total: int, weights: dict[str, float]
) -> None:
    counts = apportion(total, weights)
    assert sum(counts.values()) == total
    for name, share in weights.items():
        assert abs(counts[name] - total * share / sum(weights.values())) < 1 + 1e-6


def test_counts_are_taken_as_they_are() -> None:
    weights = {"low": 10, "medium": 70, "high": 20}
    assert apportion(100, weights) == weights


def test_shares_are_read_as_they_are_written() -> None:
    assert apportion(3, {"tr": 1 / 3, "en": 1 / 3, "mixed": 1 / 3}) == {
        "tr": 1,
        "en": 1,
        "mixed": 1,
    }
    assert apportion(10**12, {"tr": 0.1, "en": 0.9}) == {"tr": 10**11, "en": 9 * 10**11}


def test_equal_remainders_go_by_the_alphabet() -> None:
    assert apportion(2, {"c": 1, "b": 1, "a": 1}) == {"c": 0, "b": 1, "a": 1}


@given(st.integers(0, 100), weights_of_names, st.randoms())
def test_the_order_of_the_names_does_not_matter(total: int, weights, random) -> None:  # type: ignore[no-untyped-def]
    names = list(weights)
    random.shuffle(names)
    assert apportion(total, {name: weights[name] for name in names}) == apportion(total, weights)


def test_no_weights_at_all_are_refused() -> None:
    with pytest.raises(ValueError):
        apportion(3, {})

import random
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.trainers import _batches
from jessy_build.trainers._batches import Sizes
from jessy_build.trainers._rows import Row


def row(length: int, supervised: int = 1) -> Row:
    trained = [False] * (length - supervised) + [True] * supervised
    return Row(f"r{length}", tuple(range(1, length + 1)), tuple(trained))


lengths = st.lists(st.integers(1, 200), min_size=1, max_size=60)


@given(lengths, st.integers(1, 9), st.integers(0, 300), st.integers(0, 5), st.integers(0, 3))
def test_every_row_is_seen_exactly_once_an_epoch(
    lengths: list[int], rows: int, tokens: int, seed: int, epoch: int
) -> None:
    groups = _batches.group(lengths, Sizes(rows, tokens), seed, epoch)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))


@given(lengths, st.integers(1, 9), st.integers(1, 300))
def test_no_batch_is_larger_than_allowed_unless_it_is_one_row(
    lengths: list[int], rows: int, tokens: int
) -> None:
    for group in _batches.group(lengths, Sizes(rows, tokens), 1, 0):
        assert len(group) <= rows
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= tokens


def test_the_order_is_the_seeds_and_differs_from_epoch_to_epoch() -> None:
    one = [_batches.group(list(range(1, 50)), Sizes(4, 0), 42, epoch) for epoch in range(3)]
    again = [_batches.group(list(range(1, 50)), Sizes(4, 0), 42, epoch) for epoch in range(3)]
    other = _batches.group(list(range(1, 50)), Sizes(4, 0), 43, 0)
    assert one == again
    assert one[0] != one[1] != one[2]
    assert one[0] != other


def test_rows_of_like_length_go_together() -> None:
    lengths = [5, 100] * 40
    groups = _batches.group(lengths, Sizes(8, 0), 1, 0)
    padded = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    assert padded < 1.1 * sum(lengths)


SKEWED = list(product((1000, 3000), (0.5, 0.8, 1.2), (1, 2)))


def skewed(rows: int, spread: float, seed: int) -> list[int]:
    """Many short rows and few long ones."""
    chance = random.Random(seed)
    return [min(2048, max(2, round(chance.lognormvariate(4, spread)))) for _ in range(rows)]


@pytest.mark.parametrize(("rows", "spread", "seed"), SKEWED)
@pytest.mark.parametrize("sizes", [Sizes(8, 448), Sizes(8, 2048), Sizes(32, 4096)], ids=str)
def test_of_skewed_lengths_at_most_a_twentieth_is_padding(
    rows: int, spread: float, seed: int, sizes: Sizes
) -> None:
    lengths = skewed(rows, spread, seed)
    for epoch in range(2):
        groups = _batches.group(lengths, sizes, seed, epoch)
        read = sum(len(group) * max(lengths[i] for i in group) for group in groups)
        assert sum(lengths) / read >= 0.95
        # The last one of all, which is not full, among them.
        assert sorted(i for group in groups for i in group) == list(range(rows))


def test_where_little_is_padding_rows_stay_as_mixed_as_they_were() -> None:
    lengths = [40 + n % 5 for n in range(100)]
    chance = random.Random("1/0")
    order = sorted(range(100), key=lambda i: lengths[i] * chance.uniform(0.85, 1.15))
    wanted = [tuple(order[at : at + 10]) for at in range(0, 100, 10)]
    assert sorted(_batches.group(lengths, Sizes(10, 0), 1, 0)) == sorted(wanted)


def test_a_short_pass_is_not_split_up_to_save_padding() -> None:
    lengths = [10] * 39 + [1000]
    assert len(_batches.group(lengths, Sizes(4, 0), 1, 0)) == 10
    assert len(_batches.group([10] * 60 + lengths, Sizes(4, 0), 1, 0)) == 26


def test_rows_that_are_all_unlike_are_not_read_one_by_one() -> None:
    lengths = [3**n for n in range(40)]
    assert len(_batches.group(lengths, Sizes(2, 0), 1, 0)) == 20


def schedule(rows: list[Row], **changed: object) -> list[_batches.Batch]:
    settings: dict[str, object] = {
        "average": "token",
        "accumulation": 1,
        "seed": 7,
        "epochs": 2,
        "updates": None,
        **changed,
    }
    return _batches.schedule(rows, Sizes(3, 0), **settings)  # type: ignore[arg-type]


def test_a_schedule_by_epochs_holds_each_row_as_often_as_there_are_epochs() -> None:
    batches = schedule([row(n) for n in range(3, 13)], epochs=4)
    assert set(Counter(i for batch in batches for i in batch.rows).values()) == {4}
    assert [batch.epoch for batch in batches] == sorted(batch.epoch for batch in batches)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_schedule_by_steps_counts_updates(accumulation: int) -> None:
    batches = schedule(
        [row(n) for n in range(3, 13)], epochs=None, updates=9, accumulation=accumulation
    )
    assert len(batches) == 9 * accumulation


def test_an_epochs_last_update_is_filled_up_with_empty_batches() -> None:
    batches = schedule([row(n) for n in range(3, 13)], epochs=1, accumulation=3)
    assert len(batches) == 6
    assert [bool(batch.rows) for batch in batches] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("average", ["token", "row"])
def test_an_update_averages_over_all_that_its_batches_hold(average: str) -> None:
    rows = [row(n, supervised=n - 2) for n in range(3, 10)]
    batches = schedule(rows, epochs=1, accumulation=2, average=average)
    for at in range(0, len(batches), 2):
        total = 0.0
        for batch in batches[at : at + 2]:
            packed = _batches.pack([rows[i] for i in batch.rows], average, batch.share)
            total += float(packed.weights.sum())
        # mlx-lm divides the gradients by the number of batches.
        assert total / 2 == pytest.approx(1)


def test_a_short_row_counts_like_a_long_one_when_rows_are_averaged() -> None:
    packed = _batches.pack([row(3, 1), row(9, 6)], "row", 0.5)
    assert packed.weights.tolist() == pytest.approx([0.5] + [0.5 / 6] * 6)


def test_a_pad_is_never_a_target() -> None:
    rows = [row(4, 2), row(7, 3)]
    packed = _batches.pack(rows, "token")
    assert packed.inputs.shape == (2, 6)
    assert packed.supervised == 5
    assert packed.tokens == 3 + 6
    flat = packed.inputs.reshape(-1)
    # Tokens count up, so each target is its input plus one.
    assert (flat[packed.places] + 1 == packed.targets).all()
    assert 0 not in packed.targets


def test_sizes_can_be_rounded_up_without_changing_what_counts() -> None:
    rows = [row(4, 2), row(7, 3)]
    packed = _batches.pack(rows, "token", multiple=32)
    assert packed.inputs.shape == (2, 32)
    assert len(packed.places) == 32
    assert np.count_nonzero(packed.weights) == 5


def test_an_empty_batch_weighs_nothing() -> None:
    packed = _batches.pack([], "token", 0.5)
    assert packed.weights.tolist() == [0.0]
    assert packed.tokens == 0

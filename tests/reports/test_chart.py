"""Coordinates of the loss curve: everything lies inside, ticks are round, labels stay apart."""

import json
import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.reports import chart
from jessy_build.reports.data import Point

FRAME = chart.Frame(width=800, height=300)
LOSS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32))
POINTS = st.lists(
    st.builds(
        Point,
        step=st.integers(min_value=0, max_value=10**6),
        epoch=st.floats(min_value=0, max_value=50),
        train_loss=LOSS,
        valid_loss=LOSS,
        tokens_per_second=LOSS,
    ),
    max_size=30,
    unique_by=lambda point: point.step,
).map(lambda points: sorted(points, key=lambda point: point.step))


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (1.26, 4.12, 4, (1, 2, 3, 4, 5)),
        (0, 120, 6, (0, 20, 40, 60, 80, 100, 120)),
        (1.91, 1.95, 4, (1.91, 1.92, 1.93, 1.94, 1.95)),
        (2.0, 2.0, 4, (2.0, 2.5)),
        (0, 0, 3, (0.0, 0.5)),
    ],
)
def test_ticks_are_round_and_enclose_the_values(
    low: float, high: float, about: int, expected: tuple[float, ...]
) -> None:
    assert chart.ticks(low, high, about) == pytest.approx(expected)


@given(
    st.floats(min_value=-1e6, max_value=1e6),
    st.floats(min_value=1e-3, max_value=1e6),
    st.integers(min_value=2, max_value=9),
)
def test_ticks_enclose_any_span_and_stay_few(low: float, span: float, about: int) -> None:
    values = chart.ticks(low, low + span, about)
    slack = span * 1e-6
    assert values[0] <= low + slack and values[-1] >= low + span - slack
    assert 2 <= len(values) <= about + 3


@given(POINTS, st.one_of(st.none(), st.integers(min_value=0, max_value=10**6)))
def test_every_coordinate_lies_in_the_frame(points: list[Point], best: int | None) -> None:
    drawn = chart.curve(points, best, FRAME)
    if drawn is None:
        return
    for line in drawn.lines:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", line.path)]
        assert all(FRAME.left <= x <= FRAME.inner_right for x in numbers[::2])
        assert all(FRAME.top <= y <= FRAME.inner_bottom for y in numbers[1::2])
    assert all(math.isfinite(tick.at) for tick in (*drawn.x_ticks, *drawn.y_ticks))
    json.loads(drawn.hover, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_lower_loss_is_drawn_lower_and_a_later_step_further_right() -> None:
    points = [Point(0, 0, valid_loss=4.0), Point(50, 1, valid_loss=2.0)]
    drawn = chart.curve(points, 50, FRAME)
    assert drawn is not None
    (first, last) = drawn.lines[0].dots
    assert last[0] > first[0] and last[1] > first[1]
    assert drawn.best is not None and (drawn.best.x, drawn.best.y) == last
    assert drawn.best.label == "exported: 2.00 at step 50"


def test_without_a_finite_loss_there_is_no_curve() -> None:
    assert chart.curve([], None, FRAME) is None
    assert chart.curve([Point(1, 0.1, math.nan, math.inf)], 1, FRAME) is None


def test_without_validation_the_best_step_is_marked_on_the_training_line() -> None:
    drawn = chart.curve([Point(1, 0.5, 3.0), Point(2, 1.0, 2.0)], 2, FRAME)
    assert drawn is not None and drawn.best is not None
    assert [line.name for line in drawn.lines] == ["training"]


def test_labels_of_lines_that_end_together_stay_apart() -> None:
    points = [Point(0, 0, 4.0, 4.0), Point(10, 1, 2.0, 2.01)]
    drawn = chart.curve(points, 10, FRAME)
    assert drawn is not None
    training, validation = drawn.lines
    assert training.label_y - validation.label_y >= chart.LINE_HEIGHT - 0.1


def test_epochs_that_end_between_two_points_are_marked_where_they_end() -> None:
    points = [Point(0, 0, valid_loss=4.0), Point(100, 2.5, valid_loss=2.0)]
    drawn = chart.curve(points, 100, FRAME)
    assert drawn is not None
    start, end = FRAME.left, FRAME.inner_right
    expected = [("epoch 1", start + 0.4 * (end - start)), ("epoch 2", start + 0.8 * (end - start))]
    assert [(tick.label, tick.at) for tick in drawn.epochs] == [
        (label, pytest.approx(at, abs=0.1)) for label, at in expected
    ]


def test_too_many_epochs_are_not_marked() -> None:
    points = [Point(step, step / 10, 2.0) for step in range(1000)]
    drawn = chart.curve(points, None, FRAME)
    assert drawn is not None and drawn.epochs == ()


def test_a_long_training_is_averaged_but_no_validation_is_lost() -> None:
    points = [
        Point(step, step / 1000, 2 + step % 2, 3.0 if step % 501 == 0 else None)
        for step in range(20_000)
    ]
    drawn = chart.curve(points, None, FRAME)
    assert drawn is not None
    assert drawn.lines[0].path.count("L") < chart.MOST_POINTS
    hovered = json.loads(drawn.hover)
    assert len(hovered) < chart.MOST_POINTS + 50
    assert sum(row[5] is not None for row in hovered) == 40
    assert all(a[0] <= b[0] for a, b in pairwise(hovered))


def test_thinned_values_end_where_the_training_did() -> None:
    values = [(step, float(step)) for step in range(1, 1001)]
    kept = chart.thinned(values, 10)
    assert len(kept) == 10
    assert kept[-1] == (1000, 950.5)

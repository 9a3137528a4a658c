"""How far two programs are apart, on made-up numbers."""

import math

import numpy as np
import pytest

from jessy_build.diagnostics import StepError
from jessy_build.parity import agreement
from jessy_build.parity.agreement import Choice, Limit

LIMIT = Limit(mean=0.1, choice=0.5)


def row(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


def compared(choice: Choice, scores: np.ndarray) -> agreement.Agreement:
    return agreement.compare([[choice]], [[agreement.seen(choice, scores)]])


def test_equal_numbers_are_not_apart() -> None:
    found = compared(Choice(1, {1: -0.25, 0: -2.0}), row(-2, -0.25, -5))
    assert (found.places, found.mean, found.choice) == (1, 0, 0) and found.within(LIMIT)


def test_a_near_tie_is_no_other_choice() -> None:
    found = compared(Choice(1, {1: -0.7, 0: -0.71}), row(-0.69, -0.72, -9))
    assert found.choice == pytest.approx(0.03, rel=1e-4) and found.within(LIMIT)


def test_another_choice_is_told_by_its_place() -> None:
    same = Choice(0, {0: -0.1})
    other = Choice(1, {1: -0.1})
    answers = [[same, same], [same, other]]
    scores = [[row(-0.1, -3), row(-0.1, -3)], [row(-0.1, -3), row(-0.1, -3)]]
    seen = [
        [agreement.seen(*pair) for pair in zip(*pairs, strict=True)]
        for pairs in zip(answers, scores, strict=True)
    ]
    found = agreement.compare(answers, seen)
    assert found.worst == (1, 1) and found.choice == pytest.approx(2.9)
    assert not found.within(LIMIT)


def test_what_is_no_number_is_never_within() -> None:
    assert not compared(Choice(0, {0: -0.1}), row(math.nan, math.nan)).within(LIMIT)


def test_a_token_without_likelihood_still_counts_as_a_choice() -> None:
    found = compared(Choice(0, {}), row(-5, -0.1))
    assert found.mean == 0 and found.choice == pytest.approx(4.9)


def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(StepError, match="answers nothing"):
        agreement.compare([[]], [[]])


def test_of_a_small_change_half_may_be_missing_and_no_more() -> None:
    assert agreement.limit("f16", effect=2.0).mean == 0.1
    assert agreement.limit("f16", effect=0.08).mean == pytest.approx(0.04)
    assert agreement.limit("f16", effect=0.001).mean == agreement.NOISE


def test_an_effect_is_what_two_models_make_of_the_same_answer() -> None:
    choice = Choice(0, {0: -0.1, 1: -3.0})
    trained, base = (agreement.seen(choice, row(*r)) for r in ((-0.1, -3), (-2.1, -1)))
    assert agreement.effect([[trained]], [[base]]) == pytest.approx(2)

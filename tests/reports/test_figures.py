"""Medians, counts, and which answers stand for a build in the terminal."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.reports import figures
from jessy_build.reports.data import Answer, Comparison, Point, ReportData


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1))
def test_the_median_is_the_one_of_the_library(values: list[float]) -> None:
    assert figures.median(values) == pytest.approx(statistics.median(values))


def test_nothing_asked_has_no_median() -> None:
    assert figures.of_answers([]) == figures.Figures(0, None, None, 0)


def test_figures_of_answers() -> None:
    answers = [Answer("a", 9, 0.5, True), Answer("b", 96, 3.5, False), Answer("c", 10, 1.0, True)]
    assert figures.of_answers(answers) == figures.Figures(3, 10, 1.0, 2)


def test_a_diverged_loss_is_no_loss() -> None:
    curve = [Point(0, 0, valid_loss=4.0), Point(10, 1, math.nan, math.inf), Point(20, 2, 1.5)]
    assert figures.valid_losses(curve) == [(0, 4.0)]
    assert figures.train_losses(curve) == [(20, 1.5)]


def test_points_of_one_step_are_joined_in_order() -> None:
    curve = [
        Point(10, 1.0, train_loss=2.0, tokens_per_second=150),
        Point(0, 0.0, valid_loss=4.0),
        Point(10, 1.0, valid_loss=2.5),
    ]
    assert figures.joined(curve) == (
        Point(0, 0.0, valid_loss=4.0),
        Point(10, 1.0, train_loss=2.0, valid_loss=2.5, tokens_per_second=150),
    )


def test_the_terminal_shows_the_first_prompt_then_unseen_ones_of_other_languages(
    finished: ReportData,
) -> None:
    assert [row.prompt for row in figures.summary_rows(finished.comparisons)] == [
        "sana bisi sorucam",
        "hey there",
        "deploy patladı, bak please",
    ]


def test_the_choice_does_not_look_at_the_answers(finished: ReportData) -> None:
    from dataclasses import replace

    def spoiled(row: Comparison) -> Comparison:
        return replace(row, tuned=Answer("word salad " * 40, 96, 3.0, False))

    worse = replace(finished, comparisons=tuple(map(spoiled, finished.comparisons)))
    chosen = [row.prompt for row in figures.summary_rows(finished.comparisons)]
    assert [row.prompt for row in figures.summary_rows(worse.comparisons)] == chosen


def test_fewer_prompts_than_lines_are_all_shown(finished: ReportData) -> None:
    from dataclasses import replace

    two = replace(finished, comparisons=finished.comparisons[:2])
    assert len(figures.summary_rows(two.comparisons)) == 2
    assert figures.summary_rows(()) == ()


def test_an_answer_that_was_cut_off_says_so() -> None:
    assert figures.note(Answer("x", 1, 0.26, True)) == "1 token, 0.3 s"
    assert figures.note(Answer("x", 96, 3.1, False)) == "96 tokens, 3.1 s, cut off"

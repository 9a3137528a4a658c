"""Answers → the score of a suite: the share of what was expected that holds, prompt by prompt.

Each prompt counts alike, however much is expected of its answer. A share, and not the number of
prompts with nothing wrong: between two checkpoints of one training the latter hardly moves.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from jessy_build.evaluators.rules import RULES, Said


class Missed(NamedTuple):
    """A rule that does not hold."""

    rule: str
    problem: str


class Scored(NamedTuple):
    """One answer."""

    score: float
    missed: tuple[Missed, ...]


class Score(NamedTuple):
    """A suite, of one model."""

    score: float
    """From 0 to 1."""
    passed: int
    """Prompts of whose answers all holds that was expected."""
    prompts: int


def answer(said: Said, expected: Mapping[str, Any]) -> Scored:
    """`expected` is by the names of rules, and not empty."""
    missed = tuple(
        Missed(rule, problem)
        for rule, wanted in expected.items()
        if (problem := RULES[rule](said, wanted))
    )
    return Scored(1 - len(missed) / len(expected), missed)


def suite(scored: Sequence[Scored]) -> Score:
    passed = sum(not one.missed for one in scored)
    return Score(fmean(one.score for one in scored), passed, len(scored))

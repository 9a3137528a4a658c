"""The few numbers that sum a comparison up: medians, answers that end by themselves, best loss."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from jessy_build.reports.data import Answer, BeforeAfter, Comparison, Point

IN_TERMINAL = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one model over `asked` prompts. Medians are None when nothing was asked."""

    asked: int
    tokens: float | None
    seconds: float | None
    stopped: int


def of_answers(answers: Iterable[Answer]) -> Figures:
    answers = tuple(answers)
    return Figures(
        asked=len(answers),
        tokens=median([answer.tokens for answer in answers]),
        seconds=median([answer.seconds for answer in answers]),
        stopped=sum(answer.stopped for answer in answers),
    )


def median(values: Sequence[float]) -> float | None:
    """The middle one, or the mean of the middle two. `statistics` costs 10 ms to import."""
    if not values:
        return None
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def joined(curve: Iterable[Point]) -> tuple[Point, ...]:
    """One point a step: training and validation of the same step may have come apart."""
    found: dict[int, Point] = {}
    for point in curve:
        before = found.get(point.step)
        if before is not None:
            speed = before.tokens_per_second
            point = Point(
                point.step,
                point.epoch,
                before.train_loss if point.train_loss is None else point.train_loss,
                before.valid_loss if point.valid_loss is None else point.valid_loss,
                speed if point.tokens_per_second is None else point.tokens_per_second,
            )
        found[point.step] = point
    return tuple(found[step] for step in sorted(found))


def valid_losses(curve: Iterable[Point]) -> list[tuple[int, float]]:
    return [(p.step, p.valid_loss) for p in curve if is_number(p.valid_loss)]


def train_losses(curve: Iterable[Point]) -> list[tuple[int, float]]:
    return [(p.step, p.train_loss) for p in curve if is_number(p.train_loss)]


def is_number(value: float | None) -> TypeGuard[float]:
    """A diverged training reports NaN or infinity, which no axis can hold."""
    return value is not None and math.isfinite(value)


def summary_rows(
    comparisons: Sequence[Comparison], limit: int = IN_TERMINAL
) -> tuple[BeforeAfter, ...]:
    """The answers shown in the terminal: the first one, then unseen prompts, other languages first.

    Chosen by what was asked and never by how the answers look.
    """
    chosen = list(comparisons[:1])
    rest = sorted(comparisons[1:], key=lambda row: row.seen)
    while rest and len(chosen) < limit:
        languages = {row.language for row in chosen}
        row = next((row for row in rest if not row.seen and row.language not in languages), rest[0])
        rest.remove(row)
        chosen.append(row)
    return tuple(_before_after(row) for row in chosen)


def _before_after(row: Comparison) -> BeforeAfter:
    return BeforeAfter(row.prompt, row.base.text, note(row.base), row.tuned.text, note(row.tuned))


def note(answer: Answer) -> str:
    tokens = f"{answer.tokens} token{'' if answer.tokens == 1 else 's'}"
    end = "" if answer.stopped else ", cut off"
    return f"{tokens}, {answer.seconds:.1f} s{end}"

"""What the judge among the validators will be asked, and what that may cost.

Rows that are there are known to the letter; of those still to come, their number alone, and how
long they may be. How many break another rule first, and so are not judged, nobody knows before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from jessy_build.engine.answers import Answers
from jessy_build.example import Example, Message, Origin, Request
from jessy_build.plan.step import Step
from jessy_build.steps import generate, items, prices, reviewed, scores, validate
from jessy_build.steps.desk import TRIES, Asking
from jessy_build.steps.items import Cell, Picked
from jessy_build.steps.judge import Judge
from jessy_build.steps.replacing import ROUNDS

LETTERS = 4
"""Bytes that a token of a row to come is taken for: no plan asks a tokenizer."""

Making = Picked | Asking
"""What a step that gives rows works on."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the judge is asked in this build. None: that cannot be known."""

    teacher: str
    rows: int
    """That are to be judged, as far as is known; what breaks another rule never is."""
    to_ask: int
    input_tokens: float | None = None
    output_tokens: float | None = None
    dollars: float | None = None
    dollars_at_most: float | None = None
    """When every row is as long as it may be, and every question needs all its tries, each with a
    correction; with those about rows in place of rejected ones."""
    seconds: float | None = None
    basis: str = ""
    """What the figures come from."""


@dataclass(frozen=True)
class _Work:
    """What is known about the rows before any of them is asked for."""

    judge: Judge
    there: Sequence[Example]
    """Rows that stand, and are not judged."""
    coming: Sequence["_Coming"]
    replaced: Sequence["_Coming"]
    """Rows that may be asked in place of rejected ones."""


class _Coming(NamedTuple):
    """Rows of a cell that nobody has seen yet."""

    request: Request
    """The question about one, all but what it says."""
    number: int
    longest: int
    """Tokens of one at most."""


def of(step: Step, making: Sequence[Making], answers: Answers, spent: Mapping[str, float]) -> Costs:
    """Of `validate` with a judge; `spent` is what the judge's model has used in validations."""
    judge: Judge = step.payload.judge
    there = list(chain.from_iterable(_there(one, judge, answers) for one in making))
    left = reviewed.applied(there, step.payload.decided)
    asked = list(scores.asked_about(judge, left.rows))
    known = {scores.key(one.row) for one in scores.known(judge, answers, asked)}
    open_ = {stem: row for row, stem in asked if scores.key(row) not in known}
    if open_:
        found = validate.check(left, step.params)
        bad = {(f.example_id, f.where) for f in found if f.severity == "error"}
        asked = [(row, stem) for row, stem in asked if scores.key(row) not in bad]
        open_ = {stem: row for stem, row in open_.items() if scores.key(row) not in bad}
    asking = [one for one in making if isinstance(one, Asking) and _judged(judge, one)]
    work = _Work(
        judge,
        list(open_.values()),
        [_coming(judge, one, cell, n) for one in asking for cell, n in _open(one, answers)],
        [
            _coming(judge, one, cell, ROUNDS * cell.rows)
            for one in step.payload.asking.values()
            if _judged(judge, one)
            for cell in one.questions.cells
        ],
    )
    coming = sum(cell.number for cell in work.coming)
    costs = Costs(judge.teacher, len(asked) + coming, len(work.there) + coming)
    return _priced(_timed(costs, judge.config, spent), work)


def _judged(judge: Judge, asking: Asking) -> bool:
    return asking.questions.category in judge.categories


def _there(making: Making, judge: Judge, answers: Answers) -> Iterator[Example]:
    """The rows that a step gives, as far as nobody has to be asked for them."""
    if isinstance(making, Picked):
        yield from making.examples()
        return
    if not _judged(judge, making):
        return
    for cell in making.questions.cells:
        replies = generate.replies(answers, cell)
        for ordinal in range(cell.rows):
            reply = replies.get((cell.stem(ordinal), cell.sample(ordinal)))
            if reply is not None:
                yield generate.example(making, cell, ordinal, reply)


def _open(asking: Asking, answers: Answers) -> Iterator[tuple[Cell, int]]:
    for cell in asking.questions.cells:
        if missing := sum(1 for _ in items.open_items(cell, answers)):
            yield cell, missing


def _coming(judge: Judge, asking: Asking, cell: Cell, number: int) -> _Coming:
    said = (Message("user", ""), Message("assistant", ""))
    labels = (asking.questions.category, cell.topic, cell.language, cell.level)
    question = judge.request(Example("", *labels, said, Origin(asking.teacher, "")))
    return _Coming(question, number, asking.questions.request(cell, 0).max_tokens)


def _priced(costs: Costs, work: _Work) -> Costs:
    if not costs.to_ask and not work.replaced:
        return replace(costs, dollars=0.0, dollars_at_most=0.0)
    table = prices.of(work.judge.config)
    if table is None:
        return replace(costs, dollars=None)
    most = sum(prices.of_a_try(table, work.judge.request(row)) for row in work.there)
    for cell in chain(work.coming, work.replaced):
        # What a row says is sent twice: with the question, and with its correction.
        said = 2 * prices.dollars(table, cell.longest * LETTERS, 0)
        most += (prices.of_a_try(table, cell.request) + said) * cell.number
    return replace(costs, dollars_at_most=TRIES * most)


def _timed(costs: Costs, config: Any, spent: Mapping[str, float]) -> Costs:
    """By what its model has read and written for a row so far."""
    if not costs.to_ask:
        return replace(costs, dollars=0.0, seconds=0.0)
    answers = prices.both_ways(spent, "requests")
    if not answers:
        return costs
    read, written, cached, kept = (
        costs.to_ask * prices.both_ways(spent, f"{name}_tokens") / answers
        for name in ("input", "output", "cached_input", "cache_write")
    )
    table, batch = prices.of(config), getattr(config, "batch", False)
    dollars = None if table is None else prices.dollars(table, read, written, cached, kept)
    seconds = None
    if not batch and spent.get("requests"):
        seconds = costs.to_ask * spent["seconds"] / spent["requests"] / config.concurrency
    return replace(
        costs,
        input_tokens=read + cached + kept,
        output_tokens=written,
        dollars=dollars and dollars * (prices.HALF if batch else 1),
        seconds=seconds,
        basis=f"{answers:.0f} answers of {config.model} in validations",
    )

"""What a step will take, from what such steps took here before. Unknown stays unknown.

Without an earlier run, or prices in the recipe, there is no figure. Only two things need no
history: the upper limit of a bill, since a text has at most as many tokens as bytes, and a
training, by the shape of its base (`training`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jessy_build.engine.answers import Answers
from jessy_build.engine.rebuild import Decision, MayRun, Reuse
from jessy_build.example import Reply
from jessy_build.plan.step import Step
from jessy_build.steps import answered, desk, items, judge_costs, prices, training
from jessy_build.steps.asked_before import Before, at_most
from jessy_build.steps.builds import Workspace
from jessy_build.steps.desk import TRIES, Asking, Open
from jessy_build.steps.items import Cell, Questions
from jessy_build.steps.judge_costs import Costs
from jessy_build.steps.replacing import ROUNDS
from jessy_build.steps.training import Training
from jessy_build.steps.validate import Judging
from jessy_build.teachers import correction

REPLACING = "each rejected row asks for others"


@dataclass(frozen=True, slots=True)
class Estimate:
    """None means that it cannot be known; tokens, dollars and seconds are of this build alone."""

    items: int | None = None
    prompts: int | None = None
    """Different prompts behind the items."""
    to_ask: int | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    dollars: float | None = None
    dollars_at_most: float | None = None
    """When every answer is as long as it may be, and every item needs all the tries that it has
    left, each with a correction."""
    seconds: float | None = None
    memory: int | None = None
    """Bytes that all processes together held at the fullest moment."""
    basis: str = ""
    """What the figures come from."""
    judge: Costs | None = None
    """What the judge among the validators is asked, beside all this."""
    training: Training | None = None
    """Of the train step: where its seconds and memory come from."""


def of(workspace: Workspace, decisions: Mapping[str, Decision]) -> dict[str, Estimate]:
    """An estimate for each step that will or may run."""
    history = _History(workspace, decisions)
    return {
        name: history.estimate(workspace.plan[name])
        for name, decision in decisions.items()
        if not isinstance(decision, Reuse)
    }


def total(
    estimates: Mapping[str, Estimate], decisions: Mapping[str, Decision]
) -> tuple[Estimate, bool]:
    """The sum over the steps that surely run, and whether all of its seconds are known."""
    sure = [e for name, e in estimates.items() if not isinstance(decisions[name], MayRun)]
    asked = [e for e in sure if e.to_ask is not None]
    # Rows may be asked in place of rejected ones by a step that only may run.
    sums: list[Estimate | Costs] = [*asked, *(e.judge for e in sure if e.judge is not None)]
    paid: list[Estimate | Costs] = [
        *asked,
        *(e for e in estimates.values() if e.basis == REPLACING),
        *(e.judge for e in estimates.values() if e.judge is not None),
    ]
    seconds = [e.seconds for e in sure if e.seconds is not None]
    return (
        Estimate(
            to_ask=sum(e.to_ask or 0 for e in sums) if sums else None,
            dollars=_sum(e.dollars for e in sums),
            dollars_at_most=_sum(e.dollars_at_most for e in paid),
            seconds=sum(seconds) if seconds else None,
            memory=max((e.memory for e in sure if e.memory), default=None),
        ),
        len(seconds) == len(sure),
    )


def over(cap: float, sum: Estimate) -> Literal["surely", "perhaps", "never"]:
    """Whether a build that costs as much is stopped by its budget."""
    if sum.dollars is not None and sum.dollars > cap:
        return "surely"
    return "perhaps" if sum.dollars_at_most is None or sum.dollars_at_most > cap else "never"


def _sum(values: Iterable[float | None]) -> float | None:
    """Of nothing, or with one unknown among them: unknown."""
    known = list(values)
    return sum(v for v in known if v is not None) if known and None not in known else None


class _History:
    """What this store remembers that tells about the future."""

    def __init__(self, workspace: Workspace, decisions: Mapping[str, Decision]) -> None:
        self.workspace = workspace
        self.decisions = decisions
        self.before = workspace.before()
        self.spent = _by_model(workspace, judging=False)

    def estimate(self, step: Step) -> Estimate:
        if isinstance(step.payload, Asking):
            return self._asking(step.payload)
        if step.kind == "generate":
            rows = step.payload.rows
            return replace(self._as_before(step, rows, "rows"), items=rows)
        if isinstance(step.payload, Judging):
            return self._validating(step, step.payload)
        if step.kind == "train":
            return self._training(step)
        if step.kind in ("fetch", "convert"):
            return Estimate()
        if step.kind == "evaluate":
            prompts = len(self.workspace.loaded.evaluate_prompts)
            return replace(self._as_before(step, prompts, "rows"), items=prompts)
        return self._as_before(step)

    def _validating(self, step: Step, judging: Judging) -> Estimate:
        known = self._as_before(step)
        if judging.asking:
            known = self._replacing(step, judging.asking)
        if judging.judge is None:
            return known
        spent = _by_model(self.workspace, judging=True).get(judging.judge.config.model, {})
        making = [one.payload for one in self.workspace.plan if one.kind == "generate"]
        answers = self.workspace.store.ledger.answers
        judge = judge_costs.of(step, making, answers, spent)
        # The judge's answers are what the step waits for.
        return replace(known, judge=judge, seconds=judge.seconds)

    def _replacing(self, step: Step, asking: Mapping[str, Asking]) -> Estimate:
        """How many rows will be rejected cannot be known; what they can cost at most can."""
        most: float | None = 0.0
        for one in asking.values():
            table = prices.of(one.config)
            if table is None or most is None:
                most = None
                continue
            for cell in one.questions.cells:
                request = at_most(one.questions, cell, cell.rows - 1)
                most += cell.rows * ROUNDS * TRIES * prices.of_a_try(table, request)
        return replace(self._as_before(step), dollars_at_most=most, basis=REPLACING)

    def _asking(self, asking: Asking) -> Estimate:
        questions = asking.questions
        answers = self.workspace.store.ledger.answers
        table = prices.of(asking.config)
        to_ask, most = 0, 0.0
        for cell in questions.cells:
            left = _tries_left(questions, cell, answers)
            to_ask += len(left)
            if left and table is not None:
                # A cell's prompts differ by a number at most, unless each is about another excerpt.
                told = list(left) if questions.dealt else list(left)[-1:]
                costs = {n: prices.of_a_try(table, at_most(questions, cell, n)) for n in told}
                most += sum(costs.get(n, costs[told[-1]]) * tries for n, tries in left.items())
        known = Estimate(items=questions.rows, prompts=questions.distinct, to_ask=to_ask)
        if not to_ask:
            return replace(known, dollars=0, dollars_at_most=0, seconds=0)
        if table is not None:
            known = replace(known, dollars_at_most=most)
        spent = self.spent.get(asking.config.model, {})
        answers_then = prices.both_ways(spent, "requests")
        if not answers_then:
            return known
        read, written, cached, kept = (
            to_ask * prices.both_ways(spent, f"{name}_tokens") / answers_then
            for name in ("input", "output", "cached_input", "cache_write")
        )
        dollars = None if table is None else prices.dollars(table, read, written, cached, kept)
        if dollars is not None and _in_batches(asking.config):
            dollars *= prices.HALF
        return replace(
            known,
            input_tokens=read + cached + kept,
            output_tokens=written,
            dollars=dollars,
            seconds=self._seconds(asking, to_ask, spent),
            basis=f"{answers_then:.0f} answers of {asking.config.model}",
        )

    def _seconds(self, asking: Asking, to_ask: int, spent: Mapping[str, float]) -> float | None:
        """None for a batch: it takes as long as the server likes, up to a day."""
        if _in_batches(asking.config) or not spent.get("requests"):
            return None
        at_once: int = asking.config.concurrency
        return to_ask * spent["seconds"] / spent["requests"] / at_once

    def _training(self, step: Step) -> Estimate:
        known = training.of(self.workspace, self.decisions, step)
        rows = self.planned_rows() * (1 - self.workspace.loaded.recipe.dataset.split.valid)
        return Estimate(
            items=round(rows),
            seconds=known.seconds,
            memory=known.memory,
            basis=known.basis,
            training=known,
        )

    def planned_rows(self) -> int:
        return sum(s.payload.rows for s in self.workspace.plan if s.kind == "generate")

    def _as_before(self, step: Step, amount: int | None = None, of: str = "") -> Estimate:
        """As long as the last time, or in proportion where the amount of work is known."""
        earlier = self.before.get(step.name)
        if earlier is None or not self._on_same_base(step):
            return Estimate()
        then = earlier.facts.get(of)
        count = len(then) if isinstance(then, list) else then
        share = amount / count if amount and count else 1
        return Estimate(
            seconds=earlier.seconds * share,
            memory=earlier.facts.get("peak_memory"),
            basis="the last time",
        )

    def _on_same_base(self, step: Step) -> bool:
        """Steps behind the base took their time on that one; data steps know none."""
        data = ("generate", "validate", "assemble", "report")
        return step.kind in data or isinstance(self.decisions.get("convert"), Reuse)


def _tries_left(questions: Questions, cell: Cell, answers: Answers) -> dict[int, int]:
    """By ordinal, how often each item may still be asked for that no answer fills."""
    failed = answers.failed(cell.stems)
    found = {}
    for ordinal in items.open_items(cell, answers):
        tried = failed.get((cell.stem(ordinal), cell.sample(ordinal)), 0)
        left = _left_of(questions, cell, ordinal, tried, answers) if tried else TRIES
        if left > 0:
            found[ordinal] = left
    return found


def _left_of(questions: Questions, cell: Cell, ordinal: int, tried: int, answers: Answers) -> int:
    item = desk.reopened(answers, questions, Open(cell, ordinal, 0), tried)
    asked = questions.request(cell, ordinal)._replace(attempt=item.attempt)
    if answered.known(answers, asked, item.stem) is None:
        # It was cut off, and has more room today.
        return TRIES - item.attempt
    return TRIES - tried + _may_be_corrected(questions, cell, ordinal, tried - 1, answers)


def _may_be_corrected(
    questions: Questions, cell: Cell, ordinal: int, attempt: int, answers: Answers
) -> bool:
    """Whether a build ended between an answer and the question that would have put it right."""
    known = answers.one(cell.stem(ordinal), cell.sample(ordinal), attempt)
    if known is None or (reply := Reply.of(known.reply)).stop != "end":
        return False
    # With what was shown: a correction is known by all that was said before it.
    asked = Before(answers, questions).request(cell, ordinal)._replace(attempt=attempt)
    why = desk.why_unusable(reply, questions.shape(cell, ordinal))
    again = correction.request(asked, reply.text, why)
    return answers.one(again.stem, again.sample, again.attempt) is None


def _in_batches(config: Any) -> bool:
    return bool(getattr(config, "batch", False))


def _by_model(workspace: Workspace, *, judging: bool) -> dict[str, dict[str, float]]:
    """Of validations, or of all else: scores are shorter than rows."""
    sums: dict[str, dict[str, float]] = {}
    for entry in workspace.store.ledger.answers.spent():
        if (entry.step == "validate") is not judging:
            continue
        into = sums.setdefault(entry.model, {})
        for name, amount in entry.measures.items():
            into[name] = into.get(name, 0) + amount
    return sums

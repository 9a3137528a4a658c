"""A plan in words: what will run, what may, what is cached, why, and what it takes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from jessy_build import units
from jessy_build.engine.rebuild import Decision, MayRun, Reuse, Run, WillRun
from jessy_build.plan import text
from jessy_build.plan.changes import shown
from jessy_build.plan.step import Step
from jessy_build.steps import estimate
from jessy_build.steps.builds import Workspace
from jessy_build.steps.estimate import Estimate
from jessy_build.steps.judge_costs import Costs
from jessy_build.steps.told import Edits, Told, in_words
from jessy_build.steps.training import Training, in_parts

LINES = 6
"""Of a changed text, in the concise plan."""
WORTH_SAYING = 1.0
"""Seconds. The concise plan is silent about what takes less."""

Word = Literal["run", "may run", "cached"]


def lines(workspace: Workspace, decisions: Mapping[str, Decision], full: bool) -> Iterator[str]:
    recipe = workspace.loaded.recipe
    yield f"Plan for {recipe.name} {recipe.version} ({workspace.id})"
    estimates = estimate.of(workspace, decisions)
    edits, seen = Edits(workspace), list[Told]()
    width = max(len(name) for name in decisions) + 2
    for name, decision in decisions.items():
        step = workspace.plan[name]
        if isinstance(decision, Reuse) and not full:
            continue
        told = edited(edits, step, decision)
        yield f"  {word(decision):8} {step.name:{width}} {because(decision, told)}".rstrip()
        if isinstance(decision, Reuse):
            continue
        # What several steps read is shown where it is met first; the others name it.
        fresh = [one for one in told if full or one not in seen]
        seen += fresh
        below = [*_edits(fresh, full), *_figures(estimates[step.name], full)]
        yield from (f"  {'':8} {'':{width}}   {line}" for line in below)
    yield _totals(decisions, estimates)
    yield from _budget(workspace, estimate.total(estimates, decisions)[0])


def word(decision: Decision) -> Word:
    if isinstance(decision, Reuse):
        return "cached"
    return "may run" if isinstance(decision, MayRun) else "run"


def edited(edits: Edits, step: Step, decision: Decision) -> tuple[Told, ...]:
    """The fields that are the reason for running it."""
    return edits.of(step, decision.reason.changes) if isinstance(decision, Run | WillRun) else ()


def because(decision: Decision, told: Sequence[Told] = ()) -> str:
    if isinstance(decision, Run | WillRun):
        return in_words(decision.reason, told)
    if isinstance(decision, MayRun):
        return f"if the output of {_few(decision.because)} changes"
    return ""


def _few(names: tuple[str, ...]) -> str:
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > 3 else list(names)
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _edits(told: Sequence[Told], full: bool) -> Iterator[str]:
    for one in told:
        if not text.by_lines(one.old, one.new):
            yield f"{in_a_line(one)}   {one.where}".rstrip()
            continue
        yield f"{one.field}:   {one.where}".rstrip()
        old, new = text.lines_of(one.old), text.lines_of(one.new)
        differing = text.changed_lines(old, new, None if full else LINES)
        yield from (f"  {line}" for line in differing)


def in_a_line(told: Told) -> str:
    if text.by_lines(told.old, told.new):
        return f"{told.field}: another text"
    return f"{told.field}: {shown(told.old)} → {shown(told.new)}"


def _figures(known: Estimate, full: bool) -> Iterator[str]:
    if known.to_ask is not None:
        yield f"{_items(known)}: {known.to_ask} to ask, {_answered(known)} answered before"
        if known.to_ask:
            yield " · ".join((_tokens(known), _dollars(known), *_time(known)))
    elif known.training is not None:
        yield from _training(known.training, known, full)
    elif full or (known.seconds or 0) >= WORTH_SAYING:
        yield " · ".join(_time(known))
    if full and known.basis:
        yield f"estimated from {known.basis}"
    if known.judge is not None:
        yield from _judge(known.judge, full)


def _training(training: Training, known: Estimate, full: bool) -> Iterator[str]:
    if training.memory is None:
        yield "time and memory unknown: the base is not here yet, and none that is known by name"
        return
    has = "" if training.machine is None else f" of {units.size(training.machine)}"
    rough = ", roughly" if training.parts is not None else ""
    yield " · ".join(_time(known)) + has + rough
    if full:
        yield from _shape(training)


def _shape(training: Training) -> Iterator[str]:
    if training.parameters is not None and training.trainable is not None:
        base, learning = map(units.parameters, (training.parameters, training.trainable))
        yield f"a base of {base} parameters; {learning} learn"
    if training.parts is not None:
        yield in_parts(training)
    if training.tokens is not None and training.tokens_per_second is not None:
        speed = f"{training.tokens_per_second:.0f} tokens a second"
        yield f"≈ {_short(training.tokens)} tokens at {speed}"


def _judge(costs: Costs, full: bool) -> Iterator[str]:
    before = costs.rows - costs.to_ask
    rows = _count(costs.rows, "row")
    yield f"{costs.teacher} judges {rows}: {costs.to_ask} to ask, {before} judged before"
    if costs.to_ask or costs.dollars_at_most:
        yield " · ".join((_tokens(costs), _dollars(costs)))
    if full and costs.basis:
        yield f"estimated from {costs.basis}"


def _items(known: Estimate) -> str:
    repeats = ": expect repeats" if (known.prompts or 0) < (known.items or 0) else ""
    return f"{known.items} items from {_count(known.prompts or 0, 'prompt')}{repeats}"


def _answered(known: Estimate) -> int:
    return (known.items or 0) - (known.to_ask or 0)


def _tokens(known: Estimate | Costs) -> str:
    if known.input_tokens is None or known.output_tokens is None:
        return "tokens unknown"
    return f"≈ {_short(known.input_tokens)} tokens in, {_short(known.output_tokens)} out"


def _dollars(known: Estimate | Costs) -> str:
    if known.dollars_at_most == 0:
        return "no cost"
    if known.dollars_at_most is None:
        return "dollars unknown (the teacher has no `prices`)"
    most = f"at most {dollars(known.dollars_at_most)}"
    if known.dollars is None:
        return most
    about = dollars(known.dollars)
    return f"{about}, {most}" if about.startswith("under") else f"≈ {about}, {most}"


def _time(known: Estimate) -> Sequence[str]:
    time = "time unknown" if known.seconds is None else f"≈ {units.duration(known.seconds)}"
    return (time,) if known.memory is None else (time, f"≈ {units.size(known.memory)} memory")


def dollars(amount: float) -> str:
    """To the cent, and below a cent two figures: $12.40, $0.0031."""
    if amount >= 0.01 or amount == 0:
        return f"${amount:.2f}"
    return f"${amount:.2g}" if amount >= 0.0001 else "under $0.0001"


def _short(count: float) -> str:
    return units.parameters(round(count))


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _totals(decisions: Mapping[str, Decision], estimates: Mapping[str, Estimate]) -> str:
    words = [word(decision) for decision in decisions.values()]
    run, may, cached = (words.count(name) for name in ("run", "may run", "cached"))
    if not run and not may:
        return f"Nothing to do: all {cached} steps are cached."
    counts = ((run, "to run"), (may, "may run"), (cached, "cached"))
    counted = ", ".join(f"{count} {name}" for count, name in counts if count)
    return " · ".join((counted, *_sums(decisions, estimates)))


def _budget(workspace: Workspace, sum: Estimate) -> Iterator[str]:
    """The cap, beside what may come near it."""
    budget = workspace.loaded.recipe.budget
    if budget is None or not sum.dollars_at_most:
        return
    cap = f"budget {dollars(budget.max_usd)}"
    match estimate.over(budget.max_usd, sum):
        case "surely":
            yield f"warning: {cap}: the estimate passes it: the build would stop half-way"
        case "perhaps":
            yield f"{cap}: the build stops there if answers cost the most that they can"
        case "never":
            yield f"{cap}: enough for the most that it can cost"


def _sums(decisions: Mapping[str, Decision], estimates: Mapping[str, Estimate]) -> Iterator[str]:
    sum, complete = estimate.total(estimates, decisions)
    timed = [known.seconds for known in estimates.values() if known.seconds is not None]
    # The time of one step stands at that step already.
    told = sum.seconds is not None and (complete or sum.seconds >= WORTH_SAYING)
    if told and sum.seconds is not None and (len(timed) > 1 or not complete):
        sure, most = units.duration(sum.seconds), units.duration(math.fsum(timed))
        more = f", {most} if all of it runs" if most != sure else ""
        yield f"≈ {sure}{more}" if complete else f"≈ {sure} and what is unknown"
    if sum.to_ask:
        yield f"{sum.to_ask} to ask, {_dollars(sum)}"

"""A plan in words and in JSON: what will run, what may, what is cached, and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from jessy_build.engine.rebuild import Decision, MayRun, Reuse, Run, WillRun
from jessy_build.plan.diff import Change, shown
from jessy_build.plan.step import Step
from jessy_build.steps.builds import Workspace
from jessy_build.steps.generate import Asking

FIELDS: Mapping[str, str] = {
    "fetch": "base",
    "convert": "base",
    "validate": "dataset.validate",
    "assemble": "dataset",
    "train": "train",
    "gguf": "export",
    "evaluate": "evaluate",
    "deploy": "deploy",
}
"""Kind of step → the block of the recipe that its parameters come from."""


def lines(workspace: Workspace, decisions: Mapping[str, Decision], full: bool) -> Iterator[str]:
    recipe = workspace.loaded.recipe
    yield f"Plan for {recipe.name} {recipe.version} ({workspace.id})"
    width = max(len(name) for name in decisions) + 2
    for step in workspace.plan:
        decision = decisions[step.name]
        if isinstance(decision, Reuse) and not full:
            continue
        yield f"  {word(decision):8} {step.name:{width}} {because(decision)}".rstrip()
        if isinstance(decision, Run):
            for change in decision.reason.changes:
                yield f"  {'':8} {'':{width}}   {_change(workspace, step, change)}"
            if note := _asks(workspace, step):
                yield f"  {'':8} {'':{width}}   {note}"
    yield _totals(decisions)


def document(workspace: Workspace, decisions: Mapping[str, Decision]) -> dict[str, Any]:
    recipe = workspace.loaded.recipe
    return {
        "format": 1,
        "recipe": workspace.id,
        "name": recipe.name,
        "version": recipe.version,
        "steps": [_entry(workspace, step, decisions[step.name]) for step in workspace.plan],
    }


def word(decision: Decision) -> str:
    if isinstance(decision, Reuse):
        return "cached"
    return "may run" if isinstance(decision, MayRun) else "run"


def because(decision: Decision) -> str:
    if isinstance(decision, Run):
        return decision.reason.text
    if isinstance(decision, WillRun):
        return "never built"
    if isinstance(decision, MayRun):
        return f"if the output of {_few(decision.because)} changes"
    return ""


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" or {len(names) - 3} more" if len(names) > 3 else "")


def _entry(workspace: Workspace, step: Step, decision: Decision) -> dict[str, Any]:
    changes = decision.reason.changes if isinstance(decision, Run) else ()
    return {
        "step": step.name,
        "decision": word(decision),
        "because": because(decision),
        "changes": [
            {
                "field": change.field,
                "old": change.old,
                "new": change.new,
                "where": _where(workspace, step, change),
            }
            for change in changes
        ],
    }


def _change(workspace: Workspace, step: Step, change: Change) -> str:
    old, new = shown(change.old), shown(change.new)
    return f"{change.field}: {old} → {new}   {_where(workspace, step, change)}"


def _where(workspace: Workspace, step: Step, change: Change) -> str:
    block = FIELDS.get(step.kind, "")
    span = workspace.loaded.span_of(f"{block}.{change.field}") if block else step.span
    return f"{span.file}:{span.line}" if span else ""


def _asks(workspace: Workspace, step: Step) -> str:
    """How many items of an asking category have no answer yet."""
    if not isinstance(step.payload, Asking):
        return ""
    questions = step.payload.questions
    known = questions.answered(workspace.store.ledger.answers)
    return f"{questions.rows} items: {questions.rows - known} to ask, {known} answered before"


def _totals(decisions: Mapping[str, Decision]) -> str:
    words = [word(decision) for decision in decisions.values()]
    run, may, cached = (words.count(name) for name in ("run", "may run", "cached"))
    if not run and not may:
        return f"Nothing to do: all {cached} steps are cached."
    return f"{run} to run, {may} may run, {cached} cached."

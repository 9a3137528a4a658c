"""A plan in a file: what was looked at is what gets built, or nothing is.

The file holds each step's parameters and decision, so that a later build can say what has changed
since, field by field, and not only that something has.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StalePlan, StepError
from jessy_build.engine.rebuild import Decision, Run
from jessy_build.plan.changes import differences
from jessy_build.plan.step import Step
from jessy_build.steps import explain
from jessy_build.steps.builds import Workspace
from jessy_build.steps.told import Edits
from jessy_build.steps.typed import command

FORMAT = 2
KEYS = {"format", "recipe", "options", "said", "steps"}
SHOWN = 10
MAKE_ONE = "make one: {} RECIPE -o FILE"
THEN = {"run": "was to run", "may run": "might have run", "cached": "was cached"}
NOW = {"run": "runs", "may run": "may run", "cached": "is cached"}


@dataclass(frozen=True)
class Saved:
    path: Path
    recipe: str
    """As the path was given when the plan was made."""
    options: Mapping[str, Any]
    """The command's words that shape the recipe: `set`, `until` and so on."""
    said: Mapping[str, Any]
    """The recipe as it was resolved."""
    steps: Mapping[str, Mapping[str, Any]]


def write(
    path: Path,
    recipe: str,
    options: Mapping[str, Any],
    workspace: Workspace,
    decisions: Mapping[str, Decision],
) -> None:
    document = {
        "format": FORMAT,
        "recipe": recipe,
        "options": dict(options),
        "said": workspace.loaded.recipe.model_dump(mode="json"),
        "steps": {
            name: _step(workspace.plan[name], decision) for name, decision in decisions.items()
        },
    }
    fresh = path.parent / f".{path.name}.{os.getpid()}"
    try:
        fresh.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StepError(
            f"the plan cannot be written to {path}: {error.strerror}",
            hint="name a file in a folder that you may write to",
        ) from None


def read(path: Path) -> Saved:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise StepError(
            f"the plan {path} cannot be read: {error.strerror}",
            hint=MAKE_ONE.format(command("plan")),
        ) from None
    except ValueError:
        raise _no_plan(path) from None
    if not isinstance(document, dict) or document.keys() != KEYS or document["format"] != FORMAT:
        raise _no_plan(path)
    return Saved(path, **{name: document[name] for name in KEYS - {"format"}})


def refuse_if_stale(saved: Saved, workspace: Workspace, decisions: Mapping[str, Decision]) -> None:
    changed = list(_changed(saved, workspace, decisions))
    if changed:
        more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
        raise StalePlan(
            f"the plan {saved.path} is stale; since it was made:\n  "
            + "\n  ".join([*changed[:SHOWN], *more]),
            hint=f"look again, and save it again: {_again(saved)}",
        )


def _again(saved: Saved) -> str:
    """The command that made the plan, its options included."""
    words = [saved.recipe]
    for name, value in saved.options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name}", str(one)]
    return command("plan", *words, "-o", str(saved.path))


def _no_plan(path: Path) -> StepError:
    return StepError(f"{path} holds no plan of this version", hint=MAKE_ONE.format(command("plan")))


def _step(step: Step, decision: Decision) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "version": step.version,
        "params": step.params,
        "about": step.about,
        "decision": explain.word(decision),
        "key": decision.action.key if isinstance(decision, Run) else None,
    }


def _changed(
    saved: Saved, workspace: Workspace, decisions: Mapping[str, Decision]
) -> Iterator[str]:
    """What differs, a line each: fields first, then steps whose decision is another one."""
    told: set[str] = set()
    edits = Edits(workspace, saved.said)
    for step in map(workspace.plan.__getitem__, decisions):
        then = saved.steps.get(step.name)
        if then is None:
            yield f"{step.name} is a new step"
            continue
        for line in _fields(step, then, edits):
            if line not in told:
                told.add(line)
                yield line
    for name in saved.steps.keys() - decisions.keys():
        yield f"{name} is no step any more"
    if not told:
        yield from _decisions(saved, decisions)


def _fields(step: Step, then: Mapping[str, Any], edits: Edits) -> Iterator[str]:
    now = json.loads(json.dumps({"params": step.params, "about": step.about}))
    if then["version"] != step.version:
        yield f"{step.name}: the step's version {then['version']} became {step.version}"
    elif now["params"] != then["params"]:
        changes = differences(then["about"], now["about"])
        changes = changes or differences(then["params"], now["params"])
        for told in edits.of(step, changes):
            yield f"{explain.in_a_line(told)}   {told.where}".rstrip()


def _decisions(saved: Saved, decisions: Mapping[str, Decision]) -> Iterator[str]:
    for name, decision in decisions.items():
        then, now = saved.steps[name], explain.word(decision)
        key = decision.action.key if isinstance(decision, Run) else None
        if then["decision"] != now:
            yield f"{name}: {THEN.get(then['decision'], then['decision'])}, {NOW[now]} now"
        elif then["key"] != key:
            yield f"{name}: what it reads is another one now"


def options_of(args: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those of the command's options that were given."""
    return {name: value for name in names if (value := getattr(args, name, None))}

"""One recipe, several builds: each combination of its matrix, or a part of its rows (`--scale`).

They are built one after another on one store, so what two of them have in common is made once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import digest, units
from jessy_build.diagnostics import Diagnostic, RecipeError, StepError, near
from jessy_build.plan.step import Plan
from jessy_build.recipe import matrix, merge, scale
from jessy_build.recipe.load import LoadedRecipe, load, project_of
from jessy_build.recipe.matrix import Combination
from jessy_build.recipe.paths import Found
from jessy_build.steps import builds
from jessy_build.steps.builds import Workspace

if TYPE_CHECKING:
    from jessy_build.engine.events import Event
    from jessy_build.engine.schedule import Result

SHOWN = 6
"""Labels that are named in an error."""


@dataclass(frozen=True)
class Outcome:
    """What came of one build. None: it did not come that far, or the recipe asks for no such."""

    label: str
    options: tuple[str, ...]
    """What one types behind the recipe to mean this build."""
    version: str
    status: str
    folder: str
    rows: int | None
    valid_loss: float | None
    answer_tokens: float | None
    """Median over the evaluation prompts, as the seconds are."""
    answer_seconds: float | None
    bytes: int | None
    ran: int
    cached: int


def load_all(
    path: Path, overrides: Sequence[str] = (), share: str = "", label: str = ""
) -> tuple[LoadedRecipe, ...]:
    """Every build that a recipe stands for; RecipeError with the problems of all of them.

    With a label, or without a matrix, there is one.
    """
    try:
        plain = load(path, overrides)
    except RecipeError:
        # What is missing around a matrix, each of its values may bring.
        found = _combinations(path, overrides)
        if not found:
            raise
    else:
        found = list(matrix.combinations(plain.opened.root))
    if label:
        found = [_named(path, label, found)]
    loaded = _load_each(path, overrides, found) if found else [plain]
    part = scale.share_of(share or "1")
    return tuple(scale.scaled(recipe, part) for recipe in loaded)


def open_all(
    path: Path, overrides: Sequence[str] = (), share: str = "", label: str = ""
) -> tuple[Workspace, ...]:
    first, *others = load_all(path, overrides, share, label)
    workspace = builds.open_workspace(first)
    return (workspace, *(replace(workspace, loaded=loaded) for loaded in others))


def the_one(found: Sequence[Workspace], recipe: str) -> Workspace:
    """StepError where a command needs one build and the recipe stands for several."""
    if len(found) == 1:
        return found[0]
    raise StepError(
        f"{recipe} is {len(found)} builds",
        hint=f"say which with --variant LABEL: {_few([w.loaded.variant for w in found])}",
    )


def build_all(
    workspaces: Sequence[Workspace],
    emit: "Callable[[Event], None]",
    head: Callable[[str], None],
    refuse: Callable[[StepError], None],
    until: str | None = None,
) -> tuple[Outcome, ...]:
    """One after another; a failed one does not stop the others."""
    for workspace in workspaces:
        workspace.until(until)
    outcomes = []
    for number, workspace in enumerate(workspaces, start=1):
        head(f"{workspace.loaded.variant} ({number} of {len(workspaces)})")
        try:
            result = builds.build(workspace, emit, until)
        except StepError as error:
            refuse(error)
            from jessy_build.engine.schedule import Result

            result = Result(failed={"": error})
        outcomes.append(_outcome(workspace, result))
    return tuple(outcomes)


def plan_lines(workspaces: Sequence[Workspace], until: str | None = None) -> Iterator[str]:
    """What the builds have in common, below the plan of each."""
    plans = [workspace.until(until) for workspace in workspaces]
    seen = Counter(sign for plan in plans for sign in set(_signs(plan).values()))
    common = [step for step, sign in _signs(plans[0]).items() if seen[sign] == len(plans)]
    yield f"{len(plans)} builds, one after another"
    if common:
        yield f"made once for all of them: {', '.join(common)}"


def table(outcomes: Sequence[Outcome]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Rows and headers; a column that nobody has a value for is left out."""
    cells = [_cells(outcome) for outcome in outcomes]
    headers = [name for name in cells[0] if any(row[name] != NOTHING for row in cells)]
    return [tuple(row[name] for name in headers) for row in cells], tuple(headers)


def best(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The build with the lowest validation loss, where a model was made and there is any."""
    measured = [o for o in outcomes if o.bytes is not None and o.valid_loss is not None]
    return min(measured, key=lambda outcome: outcome.valid_loss or 0.0, default=None)


def document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"event": "builds_compared", "builds": [asdict(outcome) for outcome in outcomes]}


def _combinations(path: Path, overrides: Sequence[str]) -> list[Combination]:
    """None where there is no matrix, or something is wrong with it."""
    merged = merge.read(Found(path, str(path)), overrides, project_of(path))
    if merged.root is None or merged.problems or any(matrix.problems(merged.root)):
        return []
    return list(matrix.combinations(merged.root))


def _named(path: Path, label: str, found: Sequence[Combination]) -> Combination:
    labels = [combination.label for combination in found]
    if label in labels:
        return found[labels.index(label)]
    hint = near(label, labels) or f"there is {_few(labels)}" if labels else "it has no `matrix`"
    raise StepError(f"{path} has no build '{label}'", hint=hint)


def _load_each(
    path: Path, overrides: Sequence[str], found: Sequence[Combination]
) -> list[LoadedRecipe]:
    loaded: list[LoadedRecipe] = []
    wrong: dict[Diagnostic, list[str]] = {}
    files: dict[str, None] = {}
    for combination in found:
        try:
            loaded.append(load(path, overrides, combination=combination))
        except RecipeError as error:
            for problem in error.diagnostics:
                wrong.setdefault(problem, []).append(combination.label)
                files.setdefault(problem.span.file)
    if wrong:
        # A problem of all is the recipe's; of some, it comes from their values.
        told = [
            problem if len(labels) == len(found) else _only_in(problem, labels)
            for problem, labels in wrong.items()
        ]
        raise RecipeError(told, first=[str(path), *files])
    return loaded


def _only_in(problem: Diagnostic, labels: Sequence[str]) -> Diagnostic:
    where = f"in the matrix only with {_few(labels)}"
    return replace(problem, hint=f"{problem.hint}; {where}" if problem.hint else where)


def _few(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more


def _signs(plan: Plan) -> dict[str, str]:
    """Of each step what it will be made from, so far as that can be told before anything runs."""
    signs: dict[str, str] = {}
    for step in plan:
        needs = {name: signs[need] for name, need in step.needs.items()}
        signs[step.name] = digest.of_value([step.kind, step.version, dict(step.params), needs])
    return signs


def _outcome(workspace: Workspace, result: "Result") -> Outcome:
    facts = {name: artifact.facts for name, artifact in result.made.items()}
    assembled, tuned = facts.get("assemble"), facts.get("evaluate", {}).get("tuned", {})
    return Outcome(
        label=workspace.loaded.variant,
        options=workspace.loaded.options,
        version=workspace.loaded.recipe.version,
        status="failed" if result.failed else "done",
        folder=workspace.folder.relative_to(workspace.settings.project).as_posix(),
        rows=assembled["train"] + assembled["valid"] if assembled else None,
        valid_loss=facts["train"]["best"]["loss"] if "train" in facts else None,
        answer_tokens=tuned.get("tokens"),
        answer_seconds=tuned.get("seconds"),
        bytes=facts["gguf"]["bytes"] if "gguf" in facts else None,
        ran=len(result.ran),
        cached=len(result.made) - len(result.ran),
    )


NOTHING = "-"


def _cells(outcome: Outcome) -> dict[str, str]:
    def said(value: float | None, form: str) -> str:
        return NOTHING if value is None else format(value, form)

    return {
        "build": outcome.label,
        "status": outcome.status,
        "rows": said(outcome.rows, "d"),
        "validation loss": said(outcome.valid_loss, ".3f"),
        "answer tokens": said(outcome.answer_tokens, "g"),
        "answer seconds": said(outcome.answer_seconds, ".2f"),
        "size": NOTHING if outcome.bytes is None else units.size(outcome.bytes),
        "ran": str(outcome.ran),
        "cached": str(outcome.cached),
    }

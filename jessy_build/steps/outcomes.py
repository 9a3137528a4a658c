"""The builds of one recipe side by side: planned, built one after another, and compared.

They share one store, so what two of them have in common is made once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from jessy_build import digest, units
from jessy_build.diagnostics import StepError
from jessy_build.engine.events import Event
from jessy_build.engine.rebuild import Decision
from jessy_build.engine.schedule import Result
from jessy_build.plan.step import Plan
from jessy_build.steps import builds, capped, plan_document, select
from jessy_build.steps.builds import Workspace

if TYPE_CHECKING:
    from jessy_build.engine.budget import Budget


STOPPED = "budget reached"


@dataclass(frozen=True)
class Outcome:
    """What came of one build. None: it did not come that far, or the recipe asks for no such."""

    label: str
    """What names it among the builds of the recipe."""
    options: tuple[str, ...]
    """What one types behind the recipe to mean this build."""
    version: str
    status: str
    """`done`, `failed`, or `budget reached`."""
    folder: str
    """Where its files lie, inside the project."""
    rows: int | None
    """Of the data set, those held out included."""
    valid_loss: float | None
    """In nats a token, of the adapter that was kept."""
    answer_tokens: float | None
    """Median over the evaluation prompts, as the seconds are."""
    answer_seconds: float | None
    bytes: int | None
    """Of the GGUF file."""
    ran: int
    cached: int


@dataclass(frozen=True)
class Compared:
    """The last line of `build --json` of a recipe that stands for several builds."""

    event: Literal["builds_compared"]
    builds: tuple[Outcome, ...]
    """In the order in which they were built."""


@dataclass(frozen=True)
class Plans:
    """What `plan --json` prints of a recipe that stands for several builds."""

    format: Literal[1]
    recipe: str
    builds: Mapping[str, plan_document.Document]
    """By their labels."""


def build_all(
    workspaces: Sequence[Workspace],
    emit: "Callable[[Event], None]",
    head: Callable[[str], None],
    refuse: Callable[[StepError], None],
    until: str | None = None,
    budget: "Budget | None" = None,
) -> tuple[Outcome, ...]:
    """One after another; a failed one does not stop the others. The budget is for all of them."""
    for workspace in workspaces:
        workspace.until(until)
    outcomes = []
    for number, workspace in enumerate(workspaces, start=1):
        head(f"{workspace.loaded.variant} ({number} of {len(workspaces)})")
        try:
            result = builds.build(workspace, emit, until, budget=budget)
        except StepError as error:
            refuse(error)

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


def compared(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return asdict(Compared("builds_compared", tuple(outcomes)))


def plans(
    recipe: str, decided: Sequence[tuple[Workspace, Mapping[str, Decision]]]
) -> dict[str, Any]:
    documents = {
        workspace.loaded.variant: plan_document.document(workspace, decisions)
        for workspace, decisions in decided
    }
    return asdict(Plans(1, recipe, documents))


def _signs(plan: Plan) -> dict[str, str]:
    """Of each step what it will be made from, so far as that can be told before anything runs."""
    signs: dict[str, str] = {}
    for step in plan:
        needs = {name: signs[need] for name, need in step.needs.items()}
        signs[step.name] = digest.of_value([step.kind, step.version, dict(step.params), needs])
    return signs


def _outcome(workspace: Workspace, result: Result) -> Outcome:
    facts = {name: artifact.facts for name, artifact in result.made.items()}
    assembled, tuned = facts.get("assemble"), facts.get("evaluate", {}).get("tuned", {})
    return Outcome(
        label=workspace.loaded.variant,
        options=workspace.loaded.options,
        version=workspace.loaded.recipe.version,
        status=_status(result),
        folder=workspace.folder.relative_to(workspace.settings.project).as_posix(),
        rows=assembled["train"] + assembled["valid"] if assembled else None,
        valid_loss=select.best(facts)["loss"] if "train" in facts else None,
        answer_tokens=tuned.get("tokens"),
        answer_seconds=tuned.get("seconds"),
        bytes=facts["gguf"]["bytes"] if "gguf" in facts else None,
        ran=len(result.ran),
        cached=len(result.made) - len(result.ran),
    )


def _status(result: Result) -> str:
    if capped.is_stopped(result):
        return STOPPED
    return "failed" if result.failed else "done"


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

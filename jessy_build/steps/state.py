"""status: how far each category is, what was spent, and the builds of a recipe, running ones too.

Rows are counted from the answers in the ledger, so a running build, and one that was killed, are
told as far as they came.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Literal

from jessy_build import units
from jessy_build.console import Console
from jessy_build.engine.decisions import Decided
from jessy_build.engine.ledger import Build
from jessy_build.steps import past as pasts
from jessy_build.steps import spending
from jessy_build.steps.builds import Workspace
from jessy_build.steps.desk import Asking
from jessy_build.steps.past import Past
from jessy_build.steps.spending import Spending

BUILDS = 5


@dataclass(frozen=True)
class Category:
    category: str
    teacher: str
    rows: int
    """Curated ones at hand, or usable answers; more than the target where a count was lowered."""
    target: int


@dataclass(frozen=True)
class Rejected:
    """What the last validation said. Rules count findings: a row may break several."""

    rows: int
    by_rule: Mapping[str, int]
    """Of findings that reject a row."""
    warned: Mapping[str, int]
    """Of findings that only warn, of a row or of all of them."""


@dataclass(frozen=True)
class Judged:
    """What the judge's scores come to in the last validation, rejected rows among them."""

    rows: int
    mean: Mapping[str, float]
    """By criterion, from 1 to 5."""
    by_category: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Told:
    """One build, in a line."""

    id: int
    recipe: str
    version: str
    status: str
    """done, nothing to do, failed, interrupted, running, killed, or previewed."""
    started: float
    seconds: float | None
    at: tuple[str, ...]
    """The steps that run now, or ran when it was killed."""
    spent: Spending


@dataclass(frozen=True)
class Document:
    format: Literal[2]
    recipe: str
    name: str
    version: str
    categories: tuple[Category, ...]
    rejected: Rejected | None
    """None before the first validation."""
    judged: Judged | None
    """None where the last validation had no judge."""
    steps: Mapping[str, float]
    """Seconds that each step of the last build once took."""
    spent: Spending
    """By all builds of this recipe."""
    builds: tuple[Told, ...]


@dataclass(frozen=True)
class Overview:
    """The newest build of each recipe that the store knows."""

    format: Literal[2]
    recipes: tuple[Told, ...]


def document(workspace: Workspace, past: Past) -> Document:
    recipe = workspace.loaded.recipe
    builds = past.builds(workspace.id)
    spent = spending.by_build(past, builds)
    return Document(
        format=2,
        recipe=workspace.id,
        name=recipe.name,
        version=recipe.version,
        categories=tuple(categories(workspace)),
        rejected=_rejected(past, workspace.id),
        judged=_judged(past, workspace.id),
        steps={name: artifact.seconds for name, artifact in workspace.before().items()},
        spent=reduce(Spending.__add__, spent.values(), Spending()),
        builds=tuple(_told(past, build, spent[build.id]) for build in builds[:BUILDS]),
    )


def overview(past: Past) -> Overview:
    newest: dict[str, Build] = {}
    for build in past.builds():
        newest.setdefault(build.recipe, build)
    spent = spending.by_build(past, newest.values())
    return Overview(2, tuple(_told(past, build, spent[build.id]) for build in newest.values()))


def categories(workspace: Workspace) -> Iterator[Category]:
    for step in workspace.plan:
        if step.kind != "generate":
            continue
        name = step.name.partition(":")[2]
        teacher = workspace.loaded.recipe.categories[name].teacher
        target = step.payload.rows
        rows = _answered(workspace, step.payload) if isinstance(step.payload, Asking) else target
        yield Category(name, teacher, rows, target)


def _answered(workspace: Workspace, asking: Asking) -> int:
    """Items that are filled; once all are, answers beyond them count too, for they are kept."""
    answers = workspace.store.ledger.answers
    filled = asking.questions.answered(answers)
    if filled < asking.rows:
        return filled
    return len(answers.usable([stem for cell in asking.questions.cells for stem in cell.stems]))


def _rejected(past: Past, recipe: str) -> Rejected | None:
    decided = past.store.ledger.decisions.last(recipe, "validate")
    if decided is None or "rejected" not in decided.measured:
        return None
    said = decided.measured
    return Rejected(said["rejected"], said.get("by_rule") or {}, said.get("warned") or {})


def _judged(past: Past, recipe: str) -> Judged | None:
    decided = past.store.ledger.decisions.last(recipe, "validate")
    said = decided.measured.get("judged") if decided else None
    return Judged(said["rows"], said["mean"], said["by_category"]) if said else None


def _told(past: Past, build: Build, spent: Spending) -> Told:
    steps = past.store.ledger.decisions.of_build(build.id)
    status = past.status(build)
    return Told(
        id=build.id,
        recipe=build.recipe,
        version=build.version,
        status=status,
        started=build.started,
        seconds=time.time() - build.started if status == pasts.RUNNING else build.seconds,
        at=tuple(_under_way(steps)),
        spent=spent,
    )


def _under_way(steps: Mapping[str, Decided]) -> Iterator[str]:
    return (name for name, decided in steps.items() if decided.outcome == "started")


def to_json(document: Document | Overview) -> dict[str, Any]:
    return asdict(document)


def show(document: Document, console: Console) -> None:
    console.line(f"{document.name} {document.version} ({document.recipe})")
    console.line()
    console.table(
        [(c.category, progress(c.rows, c.target), c.teacher) for c in document.categories],
        ("category", "rows", "teacher"),
    )
    console.line()
    for line in (
        *_rejections(document.rejected),
        *_scores(document.judged),
        *_costs(document.spent),
    ):
        console.line(line)
    if not document.builds:
        console.line("Not built yet.")
        return
    console.table(
        [_row(told, f"build:{told.id}", told.version) for told in document.builds],
        ("build", "version", "status", "started", "took", "spent"),
    )


def show_all(overview: Overview, console: Console) -> None:
    console.table(
        [_row(told, told.recipe, told.version, f"build:{told.id}") for told in overview.recipes],
        ("recipe", "version", "last build", "status", "started", "took", "spent"),
    )


def _row(told: Told, *head: str) -> tuple[str, ...]:
    status = f"{told.status}: {', '.join(told.at)}" if told.at else told.status
    took = units.duration(told.seconds) if told.seconds is not None else ""
    return (*head, status, pasts.moment(told.started), took, told.spent.words)


def progress(rows: int, target: int) -> str:
    sign = "✓" if rows >= target else "…"
    return f"{rows}/{target} {sign} {100 * rows / max(target, 1):.0f} %"


def _rejections(rejected: Rejected | None) -> Iterator[str]:
    if rejected is None:
        return
    if rejected.rows:
        yield f"Rejected: {rejected.rows} rows ({_counted(rejected.by_rule)})"
    if rejected.warned:
        yield f"Warnings: {sum(rejected.warned.values())} ({_counted(rejected.warned)})"
    if rejected.rows or rejected.warned:
        yield ""


def _scores(judged: Judged | None) -> Iterator[str]:
    if judged is None or not judged.rows:
        return
    yield f"Judged: {judged.rows} rows, on average {in_words(judged.mean)} of 5"
    if len(judged.by_category) > 1:
        yield from (f"  {name}: {in_words(mean)}" for name, mean in judged.by_category.items())
    yield ""


def in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in scores.items())


def _counted(rules: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))


def _costs(spent: Spending) -> Iterator[str]:
    if spent.requests:
        known = f"${spent.dollars:.4f}" if spent.dollars is not None else "dollars not known"
        yield (
            f"Spent: {spent.requests:,} requests, {spent.input_tokens:,} tokens in,"
            f" {spent.output_tokens:,} out, {known}"
        )
        yield ""

"""A plan as `plan --json` prints it; schemas/plan.schema.json says what each field means."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jessy_build.engine.rebuild import Decision
from jessy_build.steps import estimate, explain
from jessy_build.steps.builds import Workspace
from jessy_build.steps.estimate import Estimate
from jessy_build.steps.explain import Word
from jessy_build.steps.told import Edits


@dataclass(frozen=True)
class Changed:
    """A field of the recipe, its value at the last build and now, and where it stands."""

    field: str
    old: Any
    new: Any
    where: str


@dataclass(frozen=True)
class Entry:
    """A step, what is decided about it, and why."""

    step: str
    decision: Word
    because: str
    changes: tuple[Changed, ...]
    estimate: Estimate | None
    """Absent for a cached step. A figure that is null is unknown."""


@dataclass(frozen=True)
class Document:
    """What `plan --json` prints."""

    format: Literal[2]
    recipe: str
    name: str
    version: str
    steps: tuple[Entry, ...]
    total: Estimate
    """Over the steps that surely run."""
    max_usd: float | None
    """The recipe's budget. Null: none."""
    passes_budget: Literal["surely", "perhaps", "never"] | None
    """`surely`: the estimate is above it; `perhaps`: only the most that the build can cost is."""


def document(workspace: Workspace, decisions: Mapping[str, Decision]) -> Document:
    recipe = workspace.loaded.recipe
    estimates = estimate.of(workspace, decisions)
    edits = Edits(workspace)
    budget, sum = recipe.budget, estimate.total(estimates, decisions)[0]
    told = {n: explain.edited(edits, workspace.plan[n], d) for n, d in decisions.items()}
    return Document(
        format=2,
        recipe=workspace.id,
        name=recipe.name,
        version=recipe.version,
        steps=tuple(
            Entry(
                step=name,
                decision=explain.word(decision),
                because=explain.because(decision, told[name]),
                changes=tuple(Changed(t.field, t.old, t.new, t.where) for t in told[name]),
                estimate=estimates.get(name),
            )
            for name, decision in decisions.items()
        ),
        total=sum,
        max_usd=budget.max_usd if budget else None,
        passes_budget=estimate.over(budget.max_usd, sum) if budget else None,
    )


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)

"""What a build has, and what it lacks, when its budget stopped it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jessy_build.engine.budget import Budget
from jessy_build.steps import state
from jessy_build.steps.builds import Workspace
from jessy_build.steps.state import Category

HEADERS = ("category", "rows", "missing", "teacher")


@dataclass(frozen=True)
class Stopped:
    """A line of `jessy build --json`, for each build that its budget stopped."""

    event: Literal["budget_reached"]
    max_usd: float
    spent_usd: float
    """With answers that were lost on their way counted as the most that they can have cost, so it
    may be more than `status` tells."""
    categories: tuple[Category, ...]


def of(workspace: Workspace, budget: Budget) -> Stopped:
    categories = tuple(state.categories(workspace))
    return Stopped("budget_reached", budget.limit or 0.0, budget.spent, categories)


def rows(stopped: Stopped) -> Iterator[tuple[str, ...]]:
    for one in stopped.categories:
        lacking = max(one.target - one.rows, 0)
        yield one.category, state.progress(one.rows, one.target), str(lacking or "-"), one.teacher


def to_json(stopped: Stopped) -> dict[str, Any]:
    return asdict(stopped)

"""What a build may spend, and whether that stopped it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jessy_build.diagnostics import BudgetReached, RecipeError
from jessy_build.engine.budget import Budget
from jessy_build.recipe import surroundings
from jessy_build.steps.builds import Workspace

if TYPE_CHECKING:
    from jessy_build.engine.schedule import Result


def budget(workspaces: Sequence[Workspace], max_usd: float | None) -> Budget:
    """One for all builds of a recipe: the option's, else the recipe's own. RecipeError where
    prices are missing."""
    loaded = workspaces[0].loaded
    if max_usd is None:
        return Budget(loaded.recipe.budget.max_usd if loaded.recipe.budget else None)
    problems = [p for one in workspaces for p in surroundings.a_budget_needs_prices(one.loaded)]
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    return Budget(max_usd)


def is_stopped(result: "Result") -> bool:
    """Whether the budget, and nothing else, kept the build from being whole."""
    failed = result.failed.values()
    return bool(failed) and all(isinstance(error, BudgetReached) for error in failed)

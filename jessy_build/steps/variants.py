"""One recipe, several builds: each combination of its matrix, or a part of its rows (`--scale`).

Here they are found and loaded; `outcomes` builds them and sets them side by side.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jessy_build.diagnostics import Diagnostic, RecipeError, UsageError, near
from jessy_build.recipe import matrix, merge, scale
from jessy_build.recipe.load import LoadedRecipe, load, project_of
from jessy_build.recipe.matrix import Combination
from jessy_build.recipe.paths import Found
from jessy_build.steps import builds
from jessy_build.steps.builds import Workspace

SHOWN = 6
"""Labels that are named in an error."""


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
    """UsageError where a command needs one build and the recipe stands for several."""
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{recipe} is {len(found)} builds",
        hint=f"say which with --variant LABEL: {_few([w.loaded.variant for w in found])}",
    )


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
    hint = near(label, labels) or f"there are {_few(labels)}" if labels else "it has no `matrix`"
    raise UsageError(f"{path} has no build '{label}'", hint=hint)


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

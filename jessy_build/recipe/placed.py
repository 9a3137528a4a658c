"""A problem at a place of a recipe: where it is written, or the nearest block around a default."""

from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code
from jessy_build.recipe import tree
from jessy_build.recipe.tree import Path

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

IDLE = code("R203", "a field has nothing to act on")


def placed(
    loaded: "LoadedRecipe",
    place: Path,
    problem_code: str,
    problem: str,
    *,
    key: bool = False,
    **words: str,
) -> Diagnostic:
    root = loaded.opened.root
    known = tree.known(root, place)
    span = tree.key_span(root, known) if key else tree.span(root, known)
    field = ".".join(map(str, (tree.dotted(root, known), *place[len(known) :])))
    return Diagnostic(problem_code, span, field.lstrip("."), problem, **words)

"""What `dataset.validate.forbid` and `.persona` may say: of rows that there are, and something."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.recipe import scalars
from jessy_build.recipe.placed import placed
from jessy_build.recipe.tree import Path

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

UNKNOWN_ROWS = code("R280", "a persona rule names rows that do not exist")
SAYS_NOTHING = code("R281", "a persona rule forbids nothing and requires nothing")
BLANK = code("R282", "a phrase has nothing to look for")

VALIDATE = ("dataset", "validate")


def rules_are_about_something(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    rules = loaded.recipe.dataset.validate_
    yield from _blank(loaded, (*VALIDATE, "forbid"), rules.forbid)
    levels = loaded.opened.levels
    for name, manner in rules.persona.items():
        place = (*VALIDATE, "persona", name)
        if manner.forbid is None and manner.require is None:
            yield placed(
                loaded,
                place,
                SAYS_NOTHING,
                f"'{name}' forbids nothing and requires nothing",
                expected="forbid or require, with phrases",
            )
        for field in ("forbid", "require"):
            yield from _blank(loaded, (*place, field), getattr(manner, field) or ())
        known = tuple(loaded.recipe.categories)
        yield from _unknown(loaded, (*place, "categories"), manner.categories or (), known)
        if levels is not None:
            yield from _unknown(loaded, (*place, "complexity"), manner.complexity or (), levels)


def _blank(loaded: "LoadedRecipe", place: Path, phrases: Sequence[str]) -> Iterator[Diagnostic]:
    for index, phrase in enumerate(phrases):
        if not phrase.removesuffix("*").strip():
            yield placed(
                loaded,
                (*place, index),
                BLANK,
                f"{scalars.told(phrase)} is found in every answer",
                expected="a word or more, and perhaps one * behind them",
            )


def _unknown(
    loaded: "LoadedRecipe", place: Path, names: Sequence[str], known: Sequence[str]
) -> Iterator[Diagnostic]:
    kind = "category" if place[-1] == "categories" else "level"
    for index, name in enumerate(names):
        if name not in known:
            yield placed(
                loaded,
                (*place, index),
                UNKNOWN_ROWS,
                f"there is no {kind} {scalars.told(name)}",
                expected=", ".join(known),
                hint=near(name, known),
            )

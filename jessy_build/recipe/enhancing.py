"""Whether `dataset.enhance` is for rows that the recipe has."""

from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.recipe import quotas, scalars
from jessy_build.recipe.placed import placed

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

FOR_NONE = code("R330", "an enhancer is for rows that the recipe does not have")


def it_is_for_rows_of_the_recipe(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    if not loaded.recipe.dataset.enhance:
        return
    known = {
        "category": tuple(loaded.recipe.categories),
        "complexity": tuple(loaded.recipe.complexity),
        "topic": tuple(sorted(_topics(loaded))),
    }
    unread = {str(place[0]): place for place in loaded.lost if place}
    words = {"category": "categories", "complexity": "complexity", "topic": "categories"}
    for index, block in enumerate(loaded.recipe.dataset.enhance):
        for limit, names in known.items():
            wanted = getattr(block, limit)
            if wanted is None or wanted in names or words[limit] in unread:
                continue
            yield placed(
                loaded,
                ("dataset", "enhance", index, limit),
                FOR_NONE,
                f"no row has the {limit} {scalars.told(wanted)}",
                expected=", ".join(names[:8]) + (", ..." if len(names) > 8 else ""),
                hint=near(wanted, names),
            )


def _topics(loaded: "LoadedRecipe") -> set[str]:
    """Those of the categories, and those that curated rows say themselves."""
    found: set[str] = set()
    for name, category in loaded.recipe.categories.items():
        found.update(topic.name for topic in quotas.topics(name, category))
        found.update(filter(None, map(attrgetter("topic"), loaded.rows.get(name, ()))))
    return found

"""Rules about categories whose rows are written about files."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, code
from jessy_build.recipe.placed import IDLE, placed

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

NO_EXCERPT = code("R290", "the files of `sources` hold nothing to write about")
NO_UNITS = code("R291", "a file of `sources` has no such units")
UNREAD_SOURCE = code("R292", "a prompt does not read its category's sources")
CUT_OFF = code("R293", "an excerpt is longer than `max_tokens`")
BROKEN = code("R294", "functions with a syntax error are left out")


def files_are_read_by_a_prompt(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category in loaded.recipe.categories.items():
        if category.sources is None:
            continue
        place = ("categories", name, "sources")
        teacher = loaded.recipe.teachers.get(category.teacher)
        template = loaded.templates.get(name)
        if teacher is not None and teacher.kind == "curated":
            yield placed(
                loaded,
                place,
                IDLE,
                "a curated teacher is asked nothing, so there is no use for sources",
                key=True,
                hint="remove it, or name another teacher",
            )
        elif template is not None and "source" not in template.names:
            yield placed(
                loaded,
                place,
                UNREAD_SOURCE,
                f"'{category.prompt}' asks for all excerpts in the same words",
                key=True,
                expected="a prompt that reads source.text",
            )


def can_be_rendered(loaded: "LoadedRecipe", category: str) -> bool:
    """Not where its files are wrong: that is told already."""
    wanted = loaded.recipe.categories[category].sources
    return wanted is None or category in loaded.opened.excerpts


def longest(loaded: "LoadedRecipe", category: str) -> dict[str, Any] | None:
    """The excerpt that a prompt has to have the most room for."""
    excerpts = loaded.opened.excerpts.get(category)
    return max(excerpts, key=lambda excerpt: len(excerpt.text)).variables if excerpts else None

"""`round` is for prompts that read what was asked before."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic
from jessy_build.recipe.placed import IDLE, placed

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe


def rounds_are_read(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category in loaded.recipe.categories.items():
        template = loaded.templates.get(name)
        teacher = loaded.recipe.teachers.get(category.teacher)
        if category.round is None or teacher is None:
            continue
        place = ("categories", name, "round")
        if teacher.kind == "curated":
            problem = "a curated teacher is asked nothing, so there are no rounds"
            yield placed(loaded, place, IDLE, problem, key=True, hint="remove it")
        elif template is not None and "asked" not in template.names:
            yield placed(
                loaded,
                place,
                IDLE,
                f"'{category.prompt}' does not read what was asked, so all rows are asked at once",
                key=True,
                expected="a prompt that reads asked",
                hint="remove it, or write"
                " {% for question in asked %}- {{ question }}{% endfor %} into the prompt",
            )

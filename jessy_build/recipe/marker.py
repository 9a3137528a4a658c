"""The text that `dataset.marker` puts before each answer. Rendered once for rows that are alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, RecipeError, code
from jessy_build.recipe import templates
from jessy_build.recipe.model import NO_MARKER, Range
from jessy_build.recipe.templates import RenderError, Template

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

UNMARKED = code("R227", "the marker reads what a row does not say")

FIELD = "dataset.marker"

Marker = Callable[[str, str, str, int | None], str]
"""Category, language, level and a row's own iterations → what stands before its answers."""


def parse(text: str) -> Template:
    """RecipeError with places inside the text: whoever knows where it stands moves them there."""
    return templates.parse(text, Path(), FIELD, spaces=True)


def writer(template: Template, iterations: Mapping[str, Sequence[int]]) -> Marker:
    """`iterations` has [from, to] for each level. RenderError for a row that lacks what is read."""

    @cache
    def write(category: str, language: str, level: str, own: int | None) -> str:
        variables: dict[str, Any] = {"category": category}
        if language:
            variables["language"] = language
        if level:
            variables["complexity"] = level
        if own is not None:
            variables["iterations"] = own
        elif level in iterations:
            variables["iterations"] = Range(*iterations[level])
        return templates.render(template, variables)

    return write


def it_can_be_written(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    text = loaded.recipe.dataset.marker
    if text == NO_MARKER:
        return
    try:
        template = parse(text)
    except RecipeError as error:
        yield from _in_the_marker(loaded, error.diagnostics)
        return
    if problems := list(templates.undeclared(template, templates.KNOWN_TO_MARKER)):
        yield from _in_the_marker(loaded, problems)
        return
    yield from _rows_without_a_mark(loaded, template)
    levels = {name: level.iterations for name, level in loaded.recipe.complexity.items()}
    write = writer(template, levels)
    for name, category in loaded.recipe.categories.items():
        for language in category.languages or ("tr",):
            for level in levels:
                try:
                    write(name, language, level, None)
                    write(name, language, level, levels[level].min)
                except RenderError as error:
                    yield from _in_the_marker(loaded, [error.diagnostic()])
                    return


def _in_the_marker(loaded: "LoadedRecipe", problems: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Places inside the text count from its own first letter; the field is where people look."""
    span = loaded.span_of(("dataset", "marker"))
    return (replace(problem, span=span, field=FIELD) for problem in problems)


FILLED_BY = {"language": "languages", "complexity": "complexity", "iterations": "complexity"}
"""What a category has quotas for, picking fills in where a row does not say it."""


def _rows_without_a_mark(loaded: "LoadedRecipe", template: Template) -> Iterator[Diagnostic]:
    """The first row of each category for each name that the marker reads and the row lacks."""
    for name, rows in loaded.rows.items():
        category = loaded.recipe.categories[name]
        for label, field in FILLED_BY.items():
            if label not in template.names or getattr(category, field):
                continue
            other = "complexity" if label == "iterations" else label
            lacking = (row for row in rows if not (getattr(row, label) or getattr(row, other)))
            if row := next(lacking, None):
                yield Diagnostic(
                    UNMARKED,
                    loaded.opened.row_span(row, label),
                    "",
                    f"the marker reads '{label}', and this row of '{name}' does not say it",
                    expected=" or ".join(f'"{key}": ...' for key in dict.fromkeys((label, other))),
                    hint=""
                    if category.count == "all"
                    else f"or write '{field}' in '{name}', which fills it in",
                )

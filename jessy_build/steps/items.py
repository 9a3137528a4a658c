"""Which rows a category is made of: curated ones picked by cell, or requests to a teacher."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jessy_build import teachers
from jessy_build.example import Example, Origin, Request, example_id
from jessy_build.plan.slots import Slot, cells, slots
from jessy_build.recipe import templates

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

LANGUAGE_NAMES = {"tr": "Turkish", "en": "English", "mixed": "Turkish mixed with English"}


def curated(loaded: "LoadedRecipe", category: str) -> tuple[Example, ...]:
    """Rows in the files' order; where quotas are given, the first of each cell.

    `checks` has made sure that the files hold enough of each.
    """
    wanted = loaded.recipe.categories[category]
    examples = [
        Example(
            id=example_id(category, row.messages),
            category=category,
            topic=row.topic,
            language=row.language,
            complexity=row.complexity,
            messages=row.messages,
            origin=Origin(wanted.teacher, f"{row.file}:{row.line}"),
            iterations=row.iterations,
        )
        for row in loaded.rows[category]
    ]
    if wanted.count == "all":
        return tuple(examples)
    return tuple(examples[: wanted.count])


def asked(loaded: "LoadedRecipe", category: str) -> Iterator[tuple[Slot, Request]]:
    wanted = loaded.recipe.categories[category]
    assert isinstance(wanted.count, int), "checks refuse `all` for an asking teacher"
    teacher = loaded.recipe.teachers[wanted.teacher]
    topics = loaded.topics(category)
    table = cells(
        wanted.count,
        {topic.name: topic.count or 1 for topic in topics},
        wanted.languages or {"tr": 1},
        wanted.complexity or dict.fromkeys(loaded.recipe.complexity, 1),
    )
    variables = {topic.name: {"name": topic.name, **topic.vars} for topic in topics}
    schema = teachers.example_schema()
    for slot in slots(category, table):
        prompt = templates.render(
            loaded.templates[category], _variables(loaded, slot, variables[slot.topic])
        )
        yield (
            slot,
            teachers.TEACHERS[teacher.kind].request(
                teacher, prompt=prompt, system=loaded.system, schema=schema, sample=slot.ordinal
            ),
        )


def again(request: Request, attempt: int) -> Request:
    """The same question as another sample: its answer is cached apart from the first."""
    return request if attempt == 0 else replace(request, sample=request.sample + 100_000 * attempt)


def _variables(loaded: "LoadedRecipe", slot: Slot, topic: dict[str, Any]) -> dict[str, Any]:
    level = loaded.recipe.complexity[slot.complexity]
    persona = loaded.recipe.persona
    return {
        "category": slot.category,
        "topic": topic,
        "language": slot.language,
        "language_name": LANGUAGE_NAMES.get(slot.language, slot.language),
        "complexity": slot.complexity,
        "iterations": level.iterations,
        "words": level.words,
        "persona": {} if persona is None else {"name": persona.name, "vars": dict(persona.vars)},
        "ordinal": slot.ordinal,
        "sample": slot.ordinal,
        "system": loaded.system or "",
    }

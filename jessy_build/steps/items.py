"""Which rows a category is made of: curated ones picked by its quotas, or requests to a teacher."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from jessy_build import teachers
from jessy_build.example import Example, Origin, Request, example_id
from jessy_build.plan.slots import Slot, cells, slots

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe


def curated(loaded: "LoadedRecipe", category: str) -> tuple[Example, ...]:
    """`checks` has made sure that the files hold enough of each kind."""
    teacher = loaded.recipe.categories[category].teacher
    return tuple(
        Example(
            id=example_id(category, row.messages),
            category=category,
            topic=row.topic or "",
            language=row.language or "",
            complexity=row.complexity or "",
            messages=row.messages,
            origin=Origin(teacher, f"{row.file}:{row.line}"),
            iterations=row.iterations,
        )
        for row in loaded.picked(category)
    )


def asked(loaded: "LoadedRecipe", category: str) -> Iterator[tuple[Slot, Request]]:
    from jessy_build.recipe import templates

    recipe = loaded.recipe
    wanted = recipe.categories[category]
    assert isinstance(wanted.count, int), "checks refuse `all` for an asking teacher"
    config = recipe.teachers[wanted.teacher]
    teacher = teachers.ASKING[config.kind]
    topics = {topic.name: topic for topic in loaded.topics(category)}
    table = cells(
        wanted.count,
        {name: topic.count or 0 for name, topic in topics.items()},
        {str(name): weight for name, weight in (wanted.languages or {"tr": 1}).items()},
        wanted.complexity or dict.fromkeys(recipe.complexity, 1),
    )
    for slot in slots(category, table):
        variables = templates.variables(
            category=category,
            topic=topics[slot.topic],
            language=slot.language,
            complexity=slot.complexity,
            level=recipe.complexity[slot.complexity],
            persona=recipe.persona,
            system=loaded.system,
            ordinal=slot.ordinal,
        )
        request = teacher.request(
            config,
            prompt=templates.render(loaded.templates[category], variables),
            system=loaded.system,
            schema=teachers.example_schema(),
            sample=slot.ordinal,
        )
        yield slot, request


def again(request: Request, attempt: int) -> Request:
    """The same question as another sample: its answer is cached apart from the first."""
    return request if attempt == 0 else replace(request, sample=request.sample + 100_000 * attempt)

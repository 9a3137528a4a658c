"""Which rows a category is made of: curated ones picked by its quotas, or questions to a teacher.

The items of a category are never held one by one: those of a cell (topic, language, level) share
one question unless its prompt reads their number, so a plan of 170,000 items renders some hundred.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jessy_build import digest, teachers
from jessy_build.engine.answers import Answers
from jessy_build.example import Example, Origin, Request, example_id, request_digest, to_line
from jessy_build.plan.slots import Slot, cells

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Category

NUMBERED = ("ordinal", "sample")
"""Names that make each item's prompt its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The items of one topic, language and level. Item n asks question n modulo their number."""

    topic: str
    language: str
    level: str
    rows: int
    stems: tuple[str, ...]
    first: int
    """The sample number of item 0: cells that ask the same question draw apart."""

    def stem(self, ordinal: int) -> str:
        return self.stems[ordinal % len(self.stems)]

    def sample(self, ordinal: int) -> int:
        return self.first + ordinal


@dataclass(frozen=True)
class Questions:
    """What a category asks its teacher."""

    category: str
    cells: tuple[Cell, ...]
    request: Callable[[Cell, int], Request]
    """Renders the prompt of one item, as attempt 0."""

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.cells)

    @property
    def distinct(self) -> int:
        """How many different prompts stand behind the rows."""
        return len({stem for cell in self.cells for stem in cell.stems})

    @property
    def digest(self) -> str:
        """Of every item's name and question, in order."""
        return digest.of_value(
            [
                [c.topic, c.language, c.level, c.rows, c.first, digest.of_value(c.stems)]
                for c in self.cells
            ]
        )

    def slot(self, cell: Cell, ordinal: int) -> Slot:
        return Slot(self.category, cell.topic, cell.language, cell.level, ordinal)

    def find(self, topic: str, language: str, level: str, ordinal: int) -> Cell | None:
        for cell in self.cells:
            if (cell.topic, cell.language, cell.level) == (topic, language, level):
                return cell if ordinal < cell.rows else None
        return None

    def digests(self) -> Iterator[str]:
        """The request digest of each item's first attempt."""
        for cell in self.cells:
            for ordinal in range(cell.rows):
                yield request_digest(cell.stem(ordinal), cell.sample(ordinal))

    def answered(self, answers: Answers) -> int:
        """How many items have an answer that can become an example."""
        return sum(cell.rows - len(list(open_items(cell, answers))) for cell in self.cells)


def open_items(cell: Cell, answers: Answers) -> Iterator[int]:
    """The ordinals that no usable answer fills yet."""
    filled = [answers.usable(stem) for stem in cell.stems]
    for ordinal in range(cell.rows):
        if cell.sample(ordinal) not in filled[ordinal % len(filled)]:
            yield ordinal


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


def digest_of(examples: Sequence[Example]) -> str:
    """Of all that makes the rows; where a file keeps them decides nothing but the file's name."""
    return digest.of_value([to_line(example) for example in examples])


def questions(loaded: "LoadedRecipe", category: str) -> Questions:
    template = loaded.templates[category]
    ask = _asker(loaded, category)
    table = quotas(loaded, category)
    numbered = any(name in template.names for name in NUMBERED)
    made: list[Cell] = []
    taken: Counter[str] = Counter()
    for (topic, language, level), rows in table.items():
        cell = Cell(topic, language, level, rows, (), 0)
        stems = tuple(ask(cell, n).stem for n in range(rows if numbered else 1))
        made.append(replace(cell, stems=stems, first=taken[stems[0]]))
        taken[stems[0]] += rows
    return Questions(category, tuple(made), ask)


def quotas(loaded: "LoadedRecipe", category: str) -> Mapping[tuple[str, str, str], int]:
    """Topic, language, level → rows: what a category that asks is to be filled with."""
    wanted = loaded.recipe.categories[category]
    assert isinstance(wanted.count, int), "checks refuse `all` for an asking teacher"
    return cells(
        wanted.count,
        {topic.name: topic.count or 0 for topic in loaded.topics(category)},
        languages_of(wanted),
        wanted.complexity or dict.fromkeys(loaded.recipe.complexity, 1),
    )


def languages_of(category: "Category") -> dict[str, float]:
    return {str(name): weight for name, weight in (category.languages or {"tr": 1}).items()}


def _asker(loaded: "LoadedRecipe", category: str) -> Callable[[Cell, int], Request]:
    from jessy_build.recipe import templates

    recipe = loaded.recipe
    config = recipe.teachers[recipe.categories[category].teacher]
    teacher = teachers.ASKING[config.kind]
    topics = {topic.name: topic for topic in loaded.topics(category)}
    schema = teachers.example_schema()

    def ask(cell: Cell, ordinal: int) -> Request:
        variables = templates.variables(
            category=category,
            topic=topics[cell.topic],
            language=cell.language,
            complexity=cell.level,
            level=recipe.complexity[cell.level],
            persona=recipe.persona,
            system=loaded.system,
            ordinal=ordinal,
        )
        return teacher.request(
            config,
            prompt=templates.render(loaded.templates[category], variables),
            system=loaded.system,
            schema=schema,
            sample=cell.sample(ordinal),
        )

    return ask


def about(loaded: "LoadedRecipe", category: str) -> dict[str, Any]:
    """What the recipe says about the category's rows, in its own words: to tell what changed."""
    recipe, wanted = loaded.recipe, loaded.recipe.categories[category]
    block = f"categories.{category}"
    said = {
        f"{block}.{name}": value
        for name, value in wanted.model_dump(mode="json", exclude_none=True).items()
        if name != "prompt"
    }
    teacher = recipe.teachers[wanted.teacher]
    if teacher.kind == "curated":
        files = sorted({row.file for row in loaded.rows[category]})
        return {**said, f"teachers.{wanted.teacher}.files": {f: loaded.files[f] for f in files}}
    said[f"{block}.prompt"] = loaded.templates[category].text
    said[f"teachers.{wanted.teacher}"] = teacher.model_dump(
        mode="json", exclude={"concurrency", "timeout", "host", "prices"}
    )
    said["complexity"] = {n: v.model_dump(mode="json") for n, v in recipe.complexity.items()}
    if recipe.persona:
        said["persona"] = {"name": recipe.persona.name, "vars": recipe.persona.vars}
    said["persona.system"] = loaded.system
    return said

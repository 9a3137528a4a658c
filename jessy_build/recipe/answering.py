"""How an answer is to be written: as a conversation, iteration by iteration, or in named parts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jessy_build import digest
from jessy_build.diagnostics import Diagnostic, code
from jessy_build.recipe.model import Category, Level, Topic, turns_of
from jessy_build.recipe.placed import IDLE, placed
from jessy_build.recipe.tree import Path
from jessy_build.teachers.asking import MESSAGE_NAMES, Shape

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

BAD_PARTS = code("R231", "an answer cannot be written in such parts")
MOST_ITERATIONS = 32


def shape_of(category: Category, topic: Topic, language: str, level: Level, ordinal: int) -> Shape:
    """What the answer of one row holds. A row keeps its shape, however many others there are."""
    match category.answer:
        case None:
            return Shape(turns_of(category, topic, ordinal))
        case "iterations":
            # From another number on in each cell: small cells would else all have the fewest.
            start = int(digest.of_value([topic.name, language])[:8], 16)
            span = level.iterations.max - level.iterations.min + 1
            count = level.iterations.min + (start + ordinal) % span
            return Shape(parts=tuple(f"iteration_{n}" for n in range(1, count + 1)))
        case parts:
            return Shape(parts=parts)


def parts_can_be_written(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category in loaded.recipe.categories.items():
        teacher = loaded.recipe.teachers.get(category.teacher)
        place = ("categories", name, "answer")
        if category.answer is None or teacher is None:
            continue
        if teacher.kind == "curated":
            yield placed(
                loaded,
                place,
                IDLE,
                "curated answers are written already, so 'answer' asks for nothing",
                key=True,
                hint="remove it, or name another teacher",
            )
            continue
        yield from _turns(loaded, name, category)
        if category.answer == "iterations":
            yield from _iterations(loaded, name, category)
        else:
            yield from _names(loaded, place, category.answer)
            yield from _count(loaded, name, category, len(category.answer))


def _turns(loaded: "LoadedRecipe", name: str, category: Category) -> Iterator[Diagnostic]:
    """One question, one answer: what its parts would be in a conversation, nobody has said."""
    asked: list[tuple[Path, object]] = [(("categories", name, "turns"), category.turns)]
    topics = () if isinstance(category.topics, dict) else category.topics or ()
    for index, topic in enumerate(topics):
        if isinstance(topic, Topic):
            asked.append((("categories", name, "topics", index, "turns"), topic.turns))
    for place, turns in asked:
        if turns is not None:
            yield placed(
                loaded,
                place,
                BAD_PARTS,
                "an answer that is written in parts belongs to one question, not to a conversation",
                key=True,
                hint="remove 'turns', or 'answer'",
            )


def _names(loaded: "LoadedRecipe", place: Path, parts: tuple[str, ...]) -> Iterator[Diagnostic]:
    for index, part in enumerate(parts):
        if part in MESSAGE_NAMES or part in parts[:index]:
            why = "stands for a message" if part in MESSAGE_NAMES else "stands there twice"
            yield placed(loaded, (*place, index), BAD_PARTS, f"a part cannot be '{part}': it {why}")


def _count(
    loaded: "LoadedRecipe", name: str, category: Category, parts: int
) -> Iterator[Diagnostic]:
    """Each part is a step of thought, so there are as many as the rows' levels say."""
    for level, said in _levels(loaded, category):
        if not said.iterations.min <= parts <= said.iterations.max:
            yield placed(
                loaded,
                ("categories", name, "answer"),
                BAD_PARTS,
                f"the answer has {parts} parts, and level '{level}' has"
                f" {said.iterations} iterations",
                key=True,
                expected=f"as many parts as every level of '{name}' allows",
                hint="leave the level out of the category's `complexity`, or make a category of"
                " its own for it",
            )


def _iterations(loaded: "LoadedRecipe", name: str, category: Category) -> Iterator[Diagnostic]:
    for level, said in _levels(loaded, category):
        if said.iterations.max > MOST_ITERATIONS:
            yield placed(
                loaded,
                ("categories", name, "answer"),
                BAD_PARTS,
                f"level '{level}' has up to {said.iterations.max} iterations",
                key=True,
                expected=f"at most {MOST_ITERATIONS} to write one by one",
            )


def _levels(loaded: "LoadedRecipe", category: Category) -> Iterator[tuple[str, Level]]:
    levels = loaded.recipe.complexity
    for name in category.complexity or levels:
        if name in levels:
            yield name, levels[name]

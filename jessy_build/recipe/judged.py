"""What `dataset.validate.judge` may say, and what its prompt reads of a row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.example import Message
from jessy_build.recipe import scalars, templates, tree
from jessy_build.recipe.placed import placed
from jessy_build.recipe.templates import RenderError
from jessy_build.teachers import ASKING, scoring

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Judge

NOBODY = code("R283", "the judge is no teacher that can be asked")
NO_ROWS = code("R284", "the judge is to read rows that do not exist")
ASKS_AMISS = code("R285", "what a judge is asked does not fit together")

PLACE = ("dataset", "validate", "judge")
ROWS = "messages"
"""What a prompt has to read: all rows would else get one score."""


def least(judge: "Judge") -> dict[str, int]:
    """The lowest score that will do, for each criterion that has one."""
    if isinstance(judge.at_least, int):
        return dict.fromkeys(judge.rubric, judge.at_least)
    return dict(judge.at_least or {})


def variables(
    loaded: "LoadedRecipe",
    rubric: Mapping[str, str],
    messages: Sequence[Message],
    *,
    category: str,
    topic: str,
    language: str,
    complexity: str,
) -> dict[str, Any]:
    """A value for each name in `templates.KNOWN_TO_JUDGE`."""
    return {
        "rubric": dict(rubric),
        ROWS: [message._asdict() for message in messages],
        "category": category,
        "topic": topic,
        "language": language,
        "language_name": templates.LANGUAGE_NAMES.get(language, language),
        "complexity": complexity,
        "persona": templates.persona_variables(loaded.recipe.persona),
        "system": loaded.system or "",
    }


def the_judge_can_be_asked(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    judge = loaded.recipe.dataset.validate_.judge
    if judge is None:
        return
    yield from _teacher(loaded, judge)
    known = tuple(loaded.recipe.categories)
    for index, name in enumerate(judge.categories or ()):
        if name not in known:
            yield placed(
                loaded,
                (*PLACE, "categories", index),
                NO_ROWS,
                f"there is no category {scalars.told(name)}",
                expected=", ".join(known),
                hint=near(name, known),
            )
    if scoring.REASON in judge.rubric:
        yield placed(
            loaded,
            (*PLACE, "rubric", scoring.REASON),
            ASKS_AMISS,
            f"'{scoring.REASON}' is what a judge calls its reason, and cannot be scored",
            key=True,
            hint="give the criterion another name",
        )
    for name in least(judge):
        if name not in judge.rubric:
            yield placed(
                loaded,
                (*PLACE, "at_least", name),
                ASKS_AMISS,
                f"the rubric has no criterion {scalars.told(name)}",
                key=True,
                expected=", ".join(judge.rubric),
                hint=near(name, judge.rubric),
            )
    template = loaded.judge
    if template is not None and ROWS not in template.names:
        yield placed(
            loaded,
            (*PLACE, "prompt"),
            ASKS_AMISS,
            f"'{judge.prompt}' asks about all rows in the same words",
            expected=f"a prompt that reads {ROWS}",
        )


def _teacher(loaded: "LoadedRecipe", judge: "Judge") -> Iterator[Diagnostic]:
    names = tree.names(loaded.opened.root, ("teachers",))
    asked = [name for name, one in loaded.recipe.teachers.items() if one.kind in ASKING]
    teacher = loaded.recipe.teachers.get(judge.teacher)
    if judge.teacher in names and (teacher is None or teacher.kind in ASKING):
        # What is wrong with its own block is told there.
        return
    yield placed(
        loaded,
        (*PLACE, "teacher"),
        NOBODY,
        f"there is no teacher {scalars.told(judge.teacher)}"
        if teacher is None
        else f"'{judge.teacher}' brings rows, and cannot be asked about any",
        expected=", ".join(asked) or "a teacher that is asked: anthropic, ollama, openai",
        hint=near(judge.teacher, asked) if teacher is None else "",
    )


def its_prompt_can_be_rendered(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """With a short row of each language and level, so that it does not fail once all are paid."""
    judge, template = loaded.recipe.dataset.validate_.judge, loaded.judge
    if judge is None or template is None:
        return
    said = (Message("user", "selam"), Message("assistant", "Selam!"))
    for language in templates.LANGUAGE_NAMES:
        for level in loaded.recipe.complexity:
            labels = {"category": "", "topic": "", "language": language, "complexity": level}
            try:
                templates.render(template, variables(loaded, judge.rubric, said, **labels))
            except RenderError as error:
                yield error.diagnostic(hint=f"rendered for a judge: {language}, {level}")
                return

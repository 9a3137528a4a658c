"""Who judges rows among the validators, and what is asked about one.

A question hangs on what the row says and on how it is judged. The row's id, its place and its
teacher are no part of it: what was judged once is never asked again, wherever it comes from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jessy_build import digest, teachers
from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Ledger
from jessy_build.example import Example, Request
from jessy_build.steps import items, weights
from jessy_build.teachers import scoring

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.templates import Template

PLACE = "dataset.validate.judge"


@dataclass(frozen=True)
class Judge:
    config: Any
    teacher: str
    """Its name in the recipe."""
    rubric: Mapping[str, str]
    at_least: Mapping[str, int]
    """By criterion, where a row may fall short of it."""
    categories: frozenset[str]
    request: Callable[[Example], Request]
    """Renders the question about a row."""

    @property
    def criteria(self) -> tuple[str, ...]:
        return tuple(self.rubric)


def of(loaded: "LoadedRecipe", ledger: Ledger) -> Judge | None:
    """None where the recipe has no judge."""
    from jessy_build.recipe import judged

    said = loaded.recipe.dataset.validate_.judge
    if said is None:
        return None
    config = weights.pinned(loaded, said.teacher, ledger)
    return Judge(
        config,
        said.teacher,
        said.rubric,
        judged.least(said),
        frozenset(said.categories or loaded.recipe.categories),
        _asker(loaded, config),
    )


def _asker(loaded: "LoadedRecipe", config: Any) -> Callable[[Example], Request]:
    from jessy_build.recipe import judged, templates

    said, template = loaded.recipe.dataset.validate_.judge, _template(loaded)
    assert said is not None
    teacher, schema = teachers.ASKING[config.kind], scoring.schema(said.rubric)

    def ask(row: Example) -> Request:
        variables = judged.variables(
            loaded,
            said.rubric,
            row.messages,
            category=row.category,
            topic=row.topic,
            language=row.language,
            complexity=row.complexity,
        )
        try:
            prompt = templates.render(template, variables)
        except templates.RenderError as error:
            raise StepError(
                f"the judge's prompt cannot be rendered for the row {row.id}"
                f" ({row.origin.source}): {error}",
                hint="mend the prompt; what was judged before is kept",
            ) from None
        return teacher.request(config, prompt=prompt, schema=schema)

    return ask


def params(loaded: "LoadedRecipe", judge: Judge | None) -> dict[str, Any]:
    """For the step's key; nothing where nobody judges, so that no key changes for those."""
    if judge is None:
        return {}
    return {
        "judge": {
            "teacher": judge.teacher,
            "at_least": dict(judge.at_least),
            "categories": sorted(judge.categories),
            "asks": digest.of_value([_config(judge), list(judge.rubric.items()), *_read(loaded)]),
        }
    }


def about(loaded: "LoadedRecipe", judge: Judge | None) -> dict[str, Any]:
    """The same in the recipe's words: to tell what changed."""
    said = loaded.recipe.dataset.validate_.judge
    if said is None or judge is None:
        return {}
    return {
        PLACE: said.model_dump(mode="json", exclude={"prompt"}, exclude_none=True),
        f"teachers.{judge.teacher}": _config(judge),
        f"{PLACE}.prompt": _template(loaded).text,
        **_persona(loaded),
        **(items.about_system(loaded) if "system" in _template(loaded).names else {}),
    }


def _config(judge: Judge) -> dict[str, Any]:
    said: dict[str, Any] = judge.config.model_dump(
        mode="json", exclude=items.HOW_ASKED | weights.WHERE
    )
    return said


def _template(loaded: "LoadedRecipe") -> "Template":
    assert loaded.judge is not None, "checks refuse a judge whose prompt cannot be read"
    return loaded.judge


def _read(loaded: "LoadedRecipe") -> list[Any]:
    """What the prompt reads beside the rows and the rubric, and its own text."""
    template = _template(loaded)
    system = loaded.system if "system" in template.names else None
    return [template.text, _persona(loaded), system]


def _persona(loaded: "LoadedRecipe") -> dict[str, Any]:
    """As much of it as the prompt reads: another mood is nothing to a judge who hears of none."""
    from jessy_build.recipe import templates

    persona, template = loaded.recipe.persona, _template(loaded)
    if persona is None or "persona" not in template.names:
        return {}
    read = templates.fields_read(template, "persona")
    said = {"name": persona.name, "vars": persona.vars}
    return {f"persona.{name}": said[name] for name in said if read is None or name in read}

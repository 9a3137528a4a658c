"""report: one HTML page that says what was built, from what, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jessy_build import units
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps import items, suite_params
from jessy_build.trainers.config import GATES

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "report"
version = 2
holds = always

FILE = "report.html"
NO_PART: Mapping[str, Any] = {
    "extends": True,
    "allow_outside": True,
    "matrix": True,
    "teachers": {"__all__": items.HOW_ASKED},
    "complexity": {"__all__": items.LIMITS},
    "train": GATES,
}


def expand(loaded: "LoadedRecipe", steps: Sequence[Step]) -> list[Step]:
    recipe = loaded.recipe
    # As it was resolved, and only what has a part in the result: neither a comment nor another
    # file to write it in makes a new report, nor how fast a teacher is asked.
    said = recipe.model_dump(mode="json", exclude_unset=True, by_alias=True, exclude=NO_PART)
    params = {
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "recipe": said,
    }
    needs = {step.name: step.name for step in steps}
    return [Step(name, name, version, params, needs, payload=steps, about=_about(said))]


def _about(said: Mapping[str, Any]) -> dict[str, Any]:
    """Topics and suites by their names, as they are told of the steps that ask about them."""
    categories = {
        name: {**block, "topics": items.topics_by_name(block["topics"])}
        if "topics" in block
        else block
        for name, block in said["categories"].items()
    }
    if not said.get("evaluate", {}).get("suites"):
        return {**said, "categories": categories}
    evaluate = {**said["evaluate"], "suites": suite_params.by_name(said["evaluate"]["suites"])}
    return {**said, "categories": categories, "evaluate": evaluate}


def run(job: Job) -> Facts:
    from jessy_build.reports import html
    from jessy_build.steps import report_data

    page = html.render(report_data.of(job))
    (job.out / FILE).write_text(page, encoding="utf-8")
    return {"bytes": len(page.encode())}


def summary(facts: Facts) -> str:
    return units.size(facts["bytes"])

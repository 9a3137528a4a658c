"""report: one HTML page that says what was built, from what, and what came of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jessy_build import units
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "report"
version = 1
holds = always

FILE = "report.html"


def expand(loaded: "LoadedRecipe", steps: Sequence[Step]) -> list[Step]:
    recipe = loaded.recipe
    # As it was resolved: neither a comment nor another file to write it in makes a new report.
    said = recipe.model_dump(mode="json", exclude_unset=True, by_alias=True, exclude={"extends"})
    params = {
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "recipe": said,
    }
    needs = {step.name: step.name for step in steps}
    return [Step(name, name, version, params, needs, payload=steps, about=said)]


def run(job: Job) -> Facts:
    from jessy_build.reports import html
    from jessy_build.steps import report_data

    page = html.render(report_data.of(job))
    (job.out / FILE).write_text(page, encoding="utf-8")
    return {"bytes": len(page.encode())}


def summary(facts: Facts) -> str:
    return units.size(facts["bytes"])

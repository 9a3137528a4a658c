"""fuse: base + adapter → one model, and the proof that nothing was lost on the way."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps import select

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "fuse"
version = 1
holds = always


def expand(loaded: "LoadedRecipe") -> list[Step]:
    if loaded.recipe.export.kind == "adapter":
        return []
    needs = {"base": "convert", "adapter": select.adapter(loaded.recipe)}
    return [Step(name, name, version, {}, needs, "gpu", loaded.span_of("export"))]


def run(job: Job) -> Facts:
    from jessy_build.packaging import fuse

    return asdict(fuse.fuse(job.inputs["base"], job.inputs["adapter"], job.out))


def summary(facts: Facts) -> str:
    return f"logit error {facts['max_error']:.2g}"

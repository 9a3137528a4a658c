"""gguf: the fused model as one file that llama.cpp and Ollama load."""

from typing import TYPE_CHECKING

from jessy_build import units
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "gguf"
version = 1
holds = always

FILE = "model.gguf"


def expand(loaded: "LoadedRecipe") -> list[Step]:
    recipe = loaded.recipe
    params = {"kind": recipe.export.gguf, "name": recipe.name}
    span = loaded.span_of("export.gguf")
    about = {"export.gguf": recipe.export.gguf, "name": recipe.name}
    return [Step(name, name, version, params, {"model": "fuse"}, span=span, about=about)]


def run(job: Job) -> Facts:
    from jessy_build.packaging import gguf_write

    def progress(done: int, total: int) -> None:
        job.progress(done, total, "bytes")

    target = job.out / FILE
    gguf_write.write(
        job.inputs["model"],
        target,
        kind=job.step.params["kind"],
        name=job.step.params["name"],
        progress=progress,
    )
    return {"bytes": target.stat().st_size, "kind": job.step.params["kind"]}


def summary(facts: Facts) -> str:
    return f"{units.size(facts['bytes'])}, {facts['kind']}"

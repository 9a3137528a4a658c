"""gguf: the fused model as one file that llama.cpp and Ollama load; or base and adapter, as two.

A base is written under no name of the recipe: all adapters on it are served from one file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import units
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps import select

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Recipe

name = "gguf"
version = 1
holds = always

FILE = "model.gguf"
"""What is loaded first: the fused model, or the base that the adapter goes on top of."""
ADAPTER = "adapter.gguf"


def template(recipe: "Recipe") -> str:
    """The step behind whose model folder the chat template of what is served lies."""
    return "convert" if recipe.export.kind == "adapter" else "fuse"


def adapter(folder: Path) -> Path | None:
    """Of what this step has made."""
    file = folder / ADAPTER
    return file if file.is_file() else None


def expand(loaded: "LoadedRecipe") -> list[Step]:
    recipe = loaded.recipe
    alone = recipe.export.kind == "adapter"
    # What is fused has the key it had before there was another kind.
    params = {"kind": recipe.export.gguf, "name": recipe.name}
    params |= {"export": "adapter"} if alone else {}
    span = loaded.span_of("export.gguf")
    about = {
        "export.kind": recipe.export.kind,
        "export.gguf": recipe.export.gguf,
        "name": recipe.name,
    }
    needs = {"model": "convert", "adapter": select.adapter(recipe)} if alone else {"model": "fuse"}
    return [Step(name, name, version, params, needs, span=span, about=about)]


def run(job: Job) -> Facts:
    from jessy_build.packaging import gguf_lora, gguf_write

    def progress(done: int, total: int) -> None:
        job.progress(done, total, "bytes")

    target, kind, named = job.out / FILE, job.step.params["kind"], job.step.params["name"]
    model, trained = job.inputs["model"], job.inputs.get("adapter")
    facts = {"kind": kind}
    if trained is not None:
        # First, since it is refused in no time where it would be.
        gguf_lora.write(model, trained, job.out / ADAPTER, name=named)
        facts["adapter"] = (job.out / ADAPTER).stat().st_size
    gguf_write.write(model, target, kind=kind, name="base" if trained else named, progress=progress)
    return {"bytes": target.stat().st_size, **facts}


def summary(facts: Facts) -> str:
    beside = f", adapter {units.size(facts['adapter'])}" if "adapter" in facts else ""
    return f"{units.size(facts['bytes'])}, {facts['kind']}{beside}"

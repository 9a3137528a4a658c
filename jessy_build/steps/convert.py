"""convert: what was fetched becomes a model folder that MLX loads, tokenizer and template too."""

import json
import shutil
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import chat, units
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps import alone

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "convert"
version = 1
holds = always


def expand(loaded: "LoadedRecipe") -> list[Step]:
    named = loaded.recipe.base.chat_template
    text = chat.BUILTIN.get(named or "", loaded.chat_template_text)
    span = loaded.span_of("base")
    about = {"base.chat_template": text}
    params = {"chat_template": text}
    needs, payload = {"base": "fetch"}, alone.where(loaded)
    return [Step(name, name, version, params, needs, span=span, payload=payload, about=about)]


def run(job: Job) -> Facts:
    from jessy_build.packaging import gguf_read

    template = job.step.params["chat_template"]
    fetched = job.made["base"].facts
    source = job.inputs["base"] / fetched["path"]
    if fetched["kind"] == "gguf":
        gguf_read.convert(source, job.out, chat_template=template)
    else:
        shutil.copytree(source, job.out, dirs_exist_ok=True)
        if template is not None:
            (job.out / "chat_template.jinja").write_text(template, encoding="utf-8")
    chat.Chat.load(job.out)
    alone.refuse_converted(job.out, job.step.payload)
    return {"parameters": _parameters(job.out), "origin": fetched["kind"]}


def _parameters(model: Path) -> int:
    """Counted in the headers of the weight files; nothing else of them is read."""
    count = 0
    for file in model.glob("*.safetensors"):
        with file.open("rb") as weights:
            length = int.from_bytes(weights.read(8), "little")
            header = json.loads(weights.read(length))
        count += sum(prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
    return count


def summary(facts: Facts) -> str:
    return f"{units.parameters(facts['parameters'])} parameters"

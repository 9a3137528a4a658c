"""train: LoRA on the assembled rows, in a process of its own that a kill does not undo."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps import here, training

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "train"
version = 1
holds = always


def expand(loaded: "LoadedRecipe") -> list[Step]:
    config = loaded.recipe.train
    return [
        Step(
            name,
            name,
            version,
            config.model_dump(mode="json"),
            {"base": "convert", "dataset": "assemble"},
            pool="gpu",
            span=loaded.span_of("train"),
            payload=config,
            about={"train": config.model_dump(mode="json")},
        )
    ]


def run(job: Job) -> Facts:
    from jessy_build.trainers import lora

    def progress(p: lora.Progress) -> None:
        job.progress(p.done, p.total, p.unit, p.text)

    said = training.before(job.inputs["base"], job.inputs["dataset"], job.step.payload)
    done = lora.train(
        lora.TrainJob(
            base=job.inputs["base"],
            dataset=job.inputs["dataset"],
            out=job.out,
            work=job.work,
            config=job.step.payload,
        ),
        progress,
        job.cancelled,
    )
    return {**asdict(done), "machine": here.describe(), "estimate": said}


def summary(facts: Facts) -> str:
    best = facts["best"]
    loss = f", validation loss {best['loss']:.2f} at step {best['step']}" if best["loss"] else ""
    return f"{facts['steps']} steps{loss}, {facts['tokens_per_second']:.0f} tok/s"

"""train: learning from the assembled rows, in a process of its own that a kill does not undo."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from jessy_build.engine.kind import Facts, Job
from jessy_build.engine.ledger import Artifact
from jessy_build.plan.step import Step
from jessy_build.settings import Settings
from jessy_build.steps import here, training

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "train"
version = 3


def expand(loaded: "LoadedRecipe") -> list[Step]:
    config = loaded.recipe.train
    return [
        Step(
            name,
            name,
            version,
            config.decisive(),
            {"base": "convert", "dataset": "tokens"},
            pool="gpu",
            span=loaded.span_of("train"),
            payload=config,
            about={"train": config.decisive()},
        )
    ]


def holds(step: Step, artifact: Artifact, settings: Settings) -> bool:
    """A gate may have been set, or tightened, since: it is no part of what was trained."""
    reached = {phase["name"]: phase["loss"] for phase in artifact.facts["phases"]}
    return all(phase.passes(reached.get(phase.name)) for phase in step.payload.phases)


def run(job: Job) -> Facts:
    from jessy_build.trainers import lora, metrics

    def progress(p: lora.Progress) -> None:
        job.progress(p.done, p.total, p.unit, p.text)

    said = training.before(job.inputs["base"], job.inputs["dataset"], job.step.payload)
    job.note(f"its curve grows in {job.work / metrics.NAME}")
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
    early = f" of {facts['planned']}" if facts["planned"] > facts["steps"] else ""
    loss = f", validation loss {best['loss']:.2f} at step {best['step']}" if best["loss"] else ""
    return f"{facts['steps']}{early} steps{loss}, {facts['tokens_per_second']:.0f} tok/s"

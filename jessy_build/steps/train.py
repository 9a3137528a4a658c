"""train: learning from the assembled rows, in a process of its own that a kill does not undo."""

from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from jessy_build.engine.kind import Facts, Job
from jessy_build.engine.ledger import Artifact
from jessy_build.plan.step import Step
from jessy_build.settings import Settings
from jessy_build.steps import here, tracked, training
from jessy_build.trainers.config import Config

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "train"
version = 3


class Payload(NamedTuple):
    config: Config
    tracked: tracked.Tracked


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
            payload=Payload(config, tracked.of(loaded)),
            about={"train": {**config.decisive(), "keep": config.model_dump(mode="json")["keep"]}},
        )
    ]


def holds(step: Step, artifact: Artifact, settings: Settings) -> bool:
    """A gate may have been set, or tightened, since: it is no part of what was trained."""
    reached = {phase["name"]: phase["loss"] for phase in artifact.facts["phases"]}
    return all(phase.passes(reached.get(phase.name)) for phase in step.payload.config.phases)


def run(job: Job) -> Facts:
    from jessy_build.trackers import follow
    from jessy_build.trainers import lora, metrics

    payload: Payload = job.step.payload

    def progress(p: lora.Progress) -> None:
        services.begin()
        job.progress(p.done, p.total, p.unit, p.text)

    said = training.before(job.inputs["base"], job.inputs["dataset"], payload.config)
    job.note(f"its curve grows in {job.work / metrics.NAME}")
    orders = tracked.orders(payload.tracked, job)
    with follow.services(orders, job.settings.env, job.note) as services:
        done = lora.train(
            lora.TrainJob(
                base=job.inputs["base"],
                dataset=job.inputs["dataset"],
                out=job.out,
                work=job.work,
                config=payload.config,
                hosts=job.settings.distributed,
            ),
            progress,
            job.cancelled,
            job.note,
        )
    facts = {**asdict(done), "machine": here.describe(), "estimate": said}
    return {**facts, "tracked": services.facts()} if orders else facts


def summary(facts: Facts) -> str:
    best = facts["best"]
    early = f" of {facts['planned']}" if facts["planned"] > facts["steps"] else ""
    loss = f", validation loss {best['loss']:.2f} at step {best['step']}" if best["loss"] else ""
    several = f" on {facts['processes']} processes" if facts.get("processes", 1) > 1 else ""
    halved = facts.get("halved")
    less = f", half batches since memory ran out at step {halved['step']}" if halved else ""
    speed = f"{facts['tokens_per_second']:.0f} tok/s"
    return f"{facts['steps']}{early} steps{several}{loss}, {speed}{less}"

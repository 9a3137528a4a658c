"""Train an adapter, or the base itself, with mlx-lm in a process of its own, which may die alone.

A run that was stopped, killed or cut off goes on from its last checkpoint in `job.work`, and ends
with the same adapter, bit for bit, as one that never stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _process
from jessy_build.trainers.config import Config


@dataclass(frozen=True, slots=True)
class TrainJob:
    base: Path
    """A model folder."""
    dataset: Path
    """A folder with `train.jsonl` and `valid.jsonl`."""
    out: Path
    """Takes `adapters.safetensors` and `adapter_config.json`."""
    work: Path
    """Takes the checkpoint, the log and `metrics.jsonl`. The same folder again resumes."""
    config: Config
    save_seconds: float = 20.0
    """Between two checkpoints; what a kill costs at most. Longer where one takes over a second to
    write: a twentieth of the time goes into them."""


@dataclass(frozen=True, slots=True)
class Progress:
    done: int
    total: int
    unit: str = "steps"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One optimizer update."""

    step: int
    epoch: float
    """Passes over the rows so far."""
    loss: float
    learning_rate: float
    tokens_per_second: float = field(default=0.0, compare=False)
    """So far."""
    memory: int = field(default=0, compare=False)
    """Bytes that the process holds at this moment."""
    seconds: float = field(default=0.0, compare=False)
    """Of training and validation so far, all attempts together."""


@dataclass(frozen=True, slots=True)
class Validation:
    step: int
    epoch: float
    loss: float
    seconds: float = field(default=0.0, compare=False)
    """As of a point: when it was looked."""


@dataclass(frozen=True, slots=True)
class PhaseEnd:
    """A phase of the curriculum that has come to its end."""

    name: str
    step: int
    loss: float | None
    """On the validation rows of its categories; None where it has none."""


@dataclass(frozen=True, slots=True)
class Best:
    step: int
    loss: float | None
    """On the validation rows; None when there are none."""
    rule: str
    """Why this step is the result."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What happened, in numbers. Nothing of it lies in the output folder."""

    steps: int
    """Optimizer updates that were made."""
    planned: int
    """That were to be made at most; `early_stop` may end before."""
    epochs: float
    rows: int
    valid_rows: int
    curve: tuple[Point, ...]
    validation: tuple[Validation, ...]
    phases: tuple[PhaseEnd, ...]
    best: Best
    tokens: int
    """Tokens that went through the model in training, prompts included, padding not."""
    supervised_tokens: int
    padding: float
    """Share of padding in what was computed."""
    tokens_per_second: float
    """Of `tokens`, validation and loading not counted."""
    seconds: float
    """Training and validation, all attempts together."""
    peak_memory: int
    """Bytes; the largest resident size of the process."""
    trainable: int
    """Numbers that learned."""
    scale: float | None
    """alpha / rank, as mlx-lm calls it; None where no adapter was trained."""
    device: str
    dtype: str
    blas: str
    resumed: int | None
    """The step an earlier attempt had reached."""


def train(
    job: TrainJob, emit: Callable[[Progress], None], cancelled: Callable[[], bool]
) -> TrainingRun:
    """Raises KeyboardInterrupt after Ctrl-C or once `cancelled()` says so; the step is saved."""
    total = 0
    with _process.start(_order(job), job.work) as child:
        for said in child.listen(cancelled):
            match said.pop("event"):
                case "started":
                    total = said["total"]
                    emit(Progress(said["done"], total, text=said["text"]))
                case "step":
                    emit(Progress(said["done"], total, text=_line(said)))
                case "validated":
                    emit(Progress(said["done"], total, text=f"validation loss {said['loss']:.2f}"))
                case "finished":
                    return _run(said)
    raise StepError(
        "the training process ended without a result", hint="build again", log=child.log
    )


def _order(job: TrainJob) -> dict[str, Any]:
    paths = {name: str(getattr(job, name)) for name in ("base", "dataset", "out", "work")}
    config = job.config.model_dump(mode="json")
    return {**paths, "config": config, "save_seconds": job.save_seconds}


def _line(said: dict[str, Any]) -> str:
    return f"loss {said['loss']:.2f} · {said['tokens_per_second']:.0f} tok/s"


def _run(said: dict[str, Any]) -> TrainingRun:
    return TrainingRun(
        **{
            **said,
            "curve": tuple(Point(**point) for point in said["curve"]),
            "validation": tuple(Validation(**point) for point in said["validation"]),
            "phases": tuple(PhaseEnd(**phase) for phase in said["phases"]),
            "best": Best(**said["best"]),
        }
    )

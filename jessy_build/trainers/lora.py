"""Train an adapter, or the base itself, with mlx-lm in a process of its own, which may die alone.

A run that was stopped, killed or cut off goes on from its last checkpoint in `job.work`, and ends
with the same adapter, bit for bit, as one that never stopped.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _process, halves
from jessy_build.trainers._death import OutOfMemory
from jessy_build.trainers.config import Config
from jessy_build.trainers.halves import Fullest, Halved, Heard


@dataclass(frozen=True, slots=True)
class TrainJob:
    base: Path
    """A model folder."""
    dataset: Path
    """A folder with `train.jsonl` and `valid.jsonl`."""
    out: Path
    """Takes `adapters.safetensors` and `adapter_config.json`, and those that were kept besides."""
    work: Path
    """Takes the checkpoint, the log and `metrics.jsonl`. The same folder again resumes."""
    config: Config
    save_seconds: float = 20.0
    """Between two checkpoints; what a kill costs at most. Longer where one takes over a second to
    write: a twentieth of the time goes into them."""
    hosts: tuple[str, ...] = ()
    """Where its processes run, the first one on this machine (127.0.0.1). None: in one, here."""


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
    gpu_utilization: int | None = field(default=None, compare=False)
    """Percent, where the platform says so."""
    seconds: float = field(default=0.0, compare=False)
    """Of training and validation so far, all attempts together."""


@dataclass(frozen=True, slots=True)
class Validation:
    step: int
    epoch: float
    loss: float
    seconds: float = field(default=0.0, compare=False)
    """As of a point: when it was looked."""


KEPT = "kept"
"""The folder, beside the adapter, of those that another step chooses among: each below its step."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An adapter on the way, as `keep: {suite: ...}` wants some."""

    step: int
    loss: float | None
    """On the validation rows; None when there are none."""
    sha256: str
    """Of its weights."""


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
    halved: Halved | None = None
    """Where memory ran out, if it did."""
    processes: int = 1
    """That trained together."""
    kept: tuple[Kept, ...] = ()
    """Adapters to choose among, in the order of their steps."""


def train(
    job: TrainJob,
    emit: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    note: Callable[[str], None] = lambda _: None,
) -> TrainingRun:
    """Raises KeyboardInterrupt after Ctrl-C or once `cancelled()` says so; the step is saved.

    Out of memory, it goes on with half batches, once, and says so to `note`.
    """
    halved = halves.kept(job.work, job.config)
    while True:
        heard = Heard()
        try:
            return _attempt(job, emit, cancelled, halved, heard)
        except OutOfMemory as died:
            if halved or not halves.may_help(heard):
                raise halves.given_up(died, job.config, heard, halved) from None
        halved = halves.keep(job.work, job.config, heard.done)
        note(halves.in_words(asdict(halved)))


def _attempt(
    job: TrainJob,
    emit: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    halved: Halved | None,
    heard: Heard,
) -> TrainingRun:
    with _process.start(_order(job, halved), job.work) as child:
        for said in child.listen(cancelled):
            match said.pop("event"):
                case "started":
                    heard.total = said["total"]
                    heard.fullest, heard.device = Fullest(**said["fullest"]), said["device"]
                    text = said["text"]
                case "step":
                    text = _line(said)
                case "validated":
                    text = f"validation loss {said['loss']:.2f}"
                case _:
                    return _run(said, halved)
            heard.done = said["done"]
            emit(Progress(heard.done, heard.total, text=text))
    raise StepError(
        "the training process ended without a result", hint="build again", log=child.log
    )


def _order(job: TrainJob, halved: Halved | None) -> dict[str, Any]:
    paths = {name: str(getattr(job, name)) for name in ("base", "dataset", "out", "work")}
    config = job.config.model_dump(mode="json")
    return {
        **paths,
        "config": config,
        "save_seconds": job.save_seconds,
        "pieces": halves.PIECES if halved else 1,
        "hosts": list(job.hosts),
    }


def _line(said: dict[str, Any]) -> str:
    return f"loss {said['loss']:.2f} · {said['tokens_per_second']:.0f} tok/s"


def _run(said: dict[str, Any], halved: Halved | None) -> TrainingRun:
    return TrainingRun(
        **{
            **said,
            "curve": tuple(Point(**point) for point in said["curve"]),
            "validation": tuple(Validation(**point) for point in said["validation"]),
            "phases": tuple(PhaseEnd(**phase) for phase in said["phases"]),
            "best": Best(**said["best"]),
            "kept": tuple(Kept(**one) for one in said["kept"]),
            "halved": halved,
        }
    )

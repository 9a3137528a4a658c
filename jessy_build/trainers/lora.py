"""Train a LoRA adapter with mlx-lm in a process of its own, which may die without us.

A run that was stopped, killed or cut off goes on from its last checkpoint in `job.work`, and ends
with the same adapter, bit for bit, as one that never stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from jessy_build import config
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _process

EPOCHS = 3


class Lora(config.Config):
    rank: int = Field(default=16, ge=1)
    """Columns of each adapter matrix: what it can learn, and what it weighs."""
    alpha: float = Field(default=32.0, gt=0)
    """Strength of the adapter; its output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of adapter inputs left out in each step. On a CPU 0.05 costs about a third of the
    speed."""
    targets: Literal["all-linear"] | tuple[str, ...] = Field(default="all-linear", min_length=1)
    """Which projections of a layer learn, by their last name, such as [q_proj, v_proj]."""
    layers: Literal["all"] | int = "all"
    """How many of the last layers learn."""

    @model_validator(mode="after")
    def _some_layers(self) -> Self:
        if isinstance(self.layers, int) and self.layers < 1:
            raise ValueError("layers is 'all' or a number from 1")
        return self

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class Optimizer(config.Config):
    kind: Literal["adamw"] = "adamw"
    """AdamW with bias correction."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest rate of the schedule."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls to zero after the warm-up; `constant` keeps it."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer updates in which the rate climbs to `learning_rate`."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Longer gradients are cut to this length; 0 = never."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Pull of the adapter towards zero, as AdamW defines it."""


class Loss(config.Config):
    average: Literal["token", "row"] = "token"
    """What counts alike in a batch: each answered token, or each row. By token, short answers
    are hardly heard beside long ones."""


class Config(config.Config):
    lora: Lora = Lora()
    """The adapter."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all rows; 3 when `steps` is not given."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer updates, instead of `epochs`."""
    batch_size: int = Field(default=8, ge=1)
    """Rows in a batch, at most."""
    batch_tokens: int = Field(default=448, ge=0)
    """Tokens in a batch, at most, padding included; a longer row is a batch alone. 0 = no limit.
    On a CPU larger batches cost more per token."""
    grad_accumulation: int = Field(default=1, ge=1)
    """Batches in one optimizer update."""
    optimizer: Optimizer = Optimizer()
    """How the adapter follows the gradient."""
    loss: Loss = Loss()
    """What is made small."""
    max_seq_length: int = Field(default=2048, ge=2)
    """Tokens of the longest row allowed. A longer one is refused, never cut."""
    eval_every: int = Field(default=0, ge=0)
    """Optimizer updates between two looks at the validation rows; 0 = after each epoch."""
    keep: Literal["best", "last"] = "best"
    """Which adapter is the result: the one with the lowest validation loss, or the final one."""
    seed: int = Field(default=42, ge=0)
    """Decides the first adapter, the order of rows and the dropout."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        # Not "before": that one would take the rest of the block out of JSON mode, and strict
        # validation would then refuse a list for a tuple.
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.epochs is None and self.steps is None:
            self.__dict__["epochs"] = EPOCHS
        return self


@dataclass(frozen=True, slots=True)
class TrainJob:
    base: Path
    """A model folder."""
    dataset: Path
    """A folder with `train.jsonl` and `valid.jsonl`."""
    out: Path
    """Takes `adapters.safetensors` and `adapter_config.json`."""
    work: Path
    """Takes the checkpoint and the log. The same folder again resumes."""
    config: Config
    save_seconds: float = 20.0
    """Between two checkpoints; what a kill costs at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    done: int
    total: int
    unit: str = "step"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One optimizer update."""

    step: int
    epoch: float
    """Passes over the rows so far."""
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Validation:
    step: int
    epoch: float
    loss: float


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
    epochs: float
    rows: int
    valid_rows: int
    curve: tuple[Point, ...]
    validation: tuple[Validation, ...]
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
    """Numbers in the adapter."""
    scale: float
    """alpha / rank, as mlx-lm calls it."""
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
            "best": Best(**said["best"]),
        }
    )

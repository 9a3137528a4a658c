"""Services that follow the curve of a training: one module a service, listed here.

Each is told in a process of its own (`_child`, started by `follow`): what a service or its package
does can neither stop nor slow a training. Importing this loads no package of theirs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jessy_build import config
from jessy_build.trackers import mlflow, tensorboard, wandb
from jessy_build.trackers.mlflow import Config as Mlflow
from jessy_build.trackers.order import Line, Memory, Order, State
from jessy_build.trackers.tensorboard import Config as Tensorboard
from jessy_build.trackers.wandb import Config as Wandb

__all__ = ["INSTALL", "TRACKERS", "Config", "Run", "Tracker"]


INSTALL = "uv pip install 'jessy-build[track]'"


class Run(Protocol):
    """A training as the service knows it."""

    # Where its user looks at it.
    @property
    def where(self) -> str: ...

    def tell(self, lines: Sequence[Line]) -> None:
        # Back when the service has them. What it raises is tried again, with the same lines.
        ...

    def end(self, state: State) -> None: ...


class Tracker(Protocol):
    """A module of a tracker, beside its `Config`."""

    # What must be installed; the extra `track` has all of them.
    PACKAGE: str
    # The next move where it fails.
    HINT: str

    def open(self, order: Order, memory: Memory) -> Run:
        # A new run, or the one that an earlier attempt at this training began.
        ...


TRACKERS: Mapping[str, Tracker] = {"wandb": wandb, "mlflow": mlflow, "tensorboard": tensorboard}


class Config(config.Config):
    """Services that follow a training, any number of them. None is part of what is trained: one
    more, or one that fails, trains nothing anew."""

    wandb: Wandb | None = None
    """Weights & Biases. WANDB_API_KEY says who you are; WANDB_MODE=offline keeps the run here."""
    mlflow: Mlflow | None = None
    """MLflow. MLFLOW_TRACKING_TOKEN, or ..._USERNAME and ..._PASSWORD, say who you are."""
    tensorboard: Tensorboard | None = None
    """Files that TensorBoard reads."""

    def said(self) -> dict[str, dict[str, Any]]:
        """Of each service that is named, what is said of it."""
        return self.model_dump(mode="json", exclude_none=True)

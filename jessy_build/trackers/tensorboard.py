"""TensorBoard: event files in a folder, one run a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from jessy_build import config
from jessy_build.trackers.order import Line, Memory, Order, State, curves

PACKAGE = "tensorboardX"
HINT = "look whether the folder can be written"


class Config(config.Config):
    """Where the files go."""

    folder: str | None = Field(default=None, min_length=1, max_length=1000)
    """A folder of the project, relative to the recipe; each training is a run in it.
    Default: `builds/NAME/VERSION/tensorboard`."""


@dataclass(frozen=True, slots=True)
class Files:
    where: str
    writer: Any

    def tell(self, lines: Sequence[Line]) -> None:
        for line in lines:
            for name, value in curves(line).items():
                self.writer.add_scalar(name, value, int(line["step"]))
        self.writer.flush()

    def end(self, state: State) -> None:
        self.writer.close()


def open(order: Order, memory: Memory) -> Files:
    """All is written anew: the metrics hold every point since the first, and two files of one
    training would show some of them twice."""
    from tensorboardX import SummaryWriter

    folder = Path(order.config["folder"])
    run = folder / f"{order.title.replace(' ', '-')}-{order.run}"
    for old in run.glob("events.out.tfevents.*"):
        old.unlink()
    memory.told = 0
    # A TensorBoard that is looking on forgets what stood in the files that are gone.
    return Files(f"tensorboard --logdir {folder}", SummaryWriter(str(run), purge_step=0))

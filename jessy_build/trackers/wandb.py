"""Weights & Biases, online or, with WANDB_MODE=offline, in files to be sent later."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from jessy_build import config
from jessy_build.trackers.order import Line, Memory, Order, State

PACKAGE = "wandb"
HINT = "set WANDB_API_KEY, or WANDB_MODE=offline and send it later with `wandb sync`"
SECONDS = 15
"""In which the server must have answered."""


class Config(config.Config):
    """Where the run is listed."""

    project: str = Field(min_length=1, max_length=200)
    """The project that runs are listed under."""
    entity: str | None = Field(default=None, min_length=1, max_length=200)
    """The account or team that has the project. Default: your own."""


@dataclass(slots=True)
class Online:
    where: str
    run: Any
    told: int
    """Lines; what the service calls a step. Of a run that goes on it says itself how many it has:
    what is told reaches it later."""

    def tell(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.run.log(dict(line), step=self.told)
            self.told += 1

    def end(self, state: State) -> None:
        self.run.finish(exit_code=0 if state == "finished" else 1)


def open(order: Order, memory: Memory) -> Online:
    """Offline all is written anew: the metrics hold every point since the first, and a run that was
    killed may not have had them all."""
    import wandb

    settings = wandb.Settings(
        # Points, and nothing of the machine, the code or what is printed.
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        host="",
        x_save_requirements=False,
        init_timeout=SECONDS,
        root_dir=order.folder,
        **({"mode": "offline"} if order.offline else {}),
    )
    run = wandb.init(
        project=order.config["project"],
        entity=order.config.get("entity"),
        id=order.run,
        name=order.title,
        config=dict(order.params),
        resume="allow",
        settings=settings,
    )
    run.define_metric("*", step_metric="step")
    if run.offline:
        for old in Path(order.folder).glob(f"wandb/offline-run-*-{order.run}"):
            if old != Path(run.settings.sync_dir):
                shutil.rmtree(old)
    memory.told = run.starting_step
    where = f"wandb sync {run.settings.sync_dir}" if run.offline else run.url
    return Online(where, run, memory.told)

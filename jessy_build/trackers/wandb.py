"""Weights & Biases, online or, with WANDB_MODE=offline, in files to be sent later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from jessy_build import config
from jessy_build.trackers.order import Memory, Order, State

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


@dataclass(frozen=True, slots=True)
class Online:
    where: str
    run: Any

    def tell(self, lines: Sequence[Mapping[str, float]]) -> None:
        for line in lines:
            # Its own counter of steps is left alone: that one takes no report behind a look at the
            # same step once a run goes on.
            self.run.log(dict(line))

    def end(self, state: State) -> None:
        self.run.finish(exit_code=0 if state == "finished" else 1)


def open(order: Order, memory: Memory) -> Online:
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
    return Online(run.url or f"wandb sync {run.settings.sync_dir}", run)

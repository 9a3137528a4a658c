"""Which services follow a training, and what they are told of it before its first point."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import MissingPackage
from jessy_build.engine.kind import Job
from jessy_build.engine.rebuild import Reuse
from jessy_build.trackers import INSTALL, TRACKERS, mlflow
from jessy_build.trackers.order import Order
from jessy_build.trainers import metrics

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.steps.builds import Workspace


@dataclass(frozen=True, slots=True)
class Tracked:
    """What the recipe says of them."""

    name: str
    version: str
    services: Mapping[str, Mapping[str, Any]]
    """The block of each. Paths in it are absolute."""


def of(loaded: "LoadedRecipe") -> Tracked:
    recipe, paths = loaded.recipe, loaded.opened.tracked
    said = recipe.train.track.said() if recipe.train.track else {}
    if "tensorboard" in paths:
        said["tensorboard"]["folder"] = str(paths["tensorboard"])
    if "mlflow" in paths:
        said["mlflow"]["uri"] = f"{mlflow.LOCAL}{paths['mlflow']}"
    return Tracked(recipe.name, recipe.version, said)


def orders(tracked: Tracked, job: Job) -> list[Order]:
    folder = job.settings.builds / tracked.name / tracked.version
    return [
        Order(
            kind=kind,
            config={"folder": str(folder / kind), **config},
            key=job.work.name,
            title=f"{tracked.name} {tracked.version}",
            params=dict(_dotted(job.step.params, "train")),
            metrics=str(job.work / metrics.NAME),
            work=str(job.work),
            folder=str(folder),
            offline=job.settings.offline,
        )
        for kind, config in tracked.services.items()
    ]


def _dotted(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield at, value
        return
    for name, inner in value.items():
        yield from _dotted(inner, f"{at}.{name}")


def missing(
    workspaces: Sequence["Workspace"], until: str | None = None
) -> Iterator[MissingPackage]:
    """For each service that would follow a training here, and cannot."""
    from importlib.util import find_spec

    kinds = {kind: None for one in workspaces for kind in _to_follow(one, until)}
    for kind in kinds:
        package = TRACKERS[kind].PACKAGE
        if find_spec(package) is None:
            yield MissingPackage(package, needed_for=f"train.track.{kind}", install=INSTALL)


def _to_follow(workspace: "Workspace", until: str | None) -> Mapping[str, Any]:
    """None where nothing is to be trained."""
    services = of(workspace.loaded).services
    if not services:
        return {}
    decision = workspace.decisions(until).get("train")
    return {} if decision is None or isinstance(decision, Reuse) else services

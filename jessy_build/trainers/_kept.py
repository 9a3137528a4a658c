"""Adapters that are set aside while training goes on, so that another step can choose among them.

They lie in the scratch folder, and go once a checkpoint stands that knows no more of them: training
that goes on from one finds all that it knows of. What becomes of the scratch folder meanwhile is
not in our hands, so each is proved by its digest at the end.
"""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _result
from jessy_build.trainers.lora import KEPT, Kept


def put(
    work: Path, step: int, loss: float | None, adapter: dict[str, Any], config: dict[str, Any]
) -> Kept:
    folder = _folder(work, step)
    _result.write(folder, adapter, config)
    return Kept(step, loss, digest.of_file(folder / _result.WEIGHTS))


def thinned(kept: Sequence[Kept], among: int) -> list[Kept]:
    """The newest, and of the others those with the lowest losses; without losses the newer ones."""
    *others, newest = kept
    lowest = sorted(others, key=lambda one: (one.loss is None, one.loss or 0.0, -one.step))
    return sorted((*lowest[: among - 1], newest), key=lambda one: one.step)


def sweep(work: Path, steps: Collection[int]) -> None:
    """Leave only what was kept at these steps."""
    for folder in (work / KEPT).glob("*"):
        if folder.name not in map(str, steps):
            shutil.rmtree(folder, ignore_errors=True)


def hand_over(work: Path, out: Path, kept: Sequence[Kept]) -> None:
    for one in kept:
        folder = _folder(work, one.step)
        weights = folder / _result.WEIGHTS
        if not weights.is_file() or digest.of_file(weights) != one.sha256:
            raise StepError(
                f"{folder} is no more what the training put there at step {one.step}",
                hint=f"remove the folder {work} and build again: it trains anew",
            )
        shutil.copytree(folder, _folder(out, one.step))


def _folder(below: Path, step: int) -> Path:
    return below / KEPT / str(step)

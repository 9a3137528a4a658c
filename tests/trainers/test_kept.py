"""Adapters that a training sets aside, for another step to choose among."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _kept, lora
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import Kept, Progress, TrainingRun, TrainJob
from tests.trainers.rows import write_dataset
from tests.trainers.test_lora import children_of

pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

FIELDS: dict[str, Any] = {
    "lora": {"rank": 4, "alpha": 8},
    "epochs": 4,
    "batch_size": 4,
    "optimizer": {"learning_rate": 2e-3, "schedule": "constant"},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    def make(name: str, **fields: Any) -> TrainJob:
        config = Config.model_validate_json(json.dumps({**FIELDS, **fields}))
        here = tmp_path / name
        return TrainJob(tiny_model, dataset, here / "out", here / "work", config, save_seconds=0)

    return make


def train(job: TrainJob, emit: Callable[[Progress], None] = lambda _: None) -> TrainingRun:
    return lora.train(job, emit, lambda: False)


def weights(folder: Path) -> bytes:
    return (folder / "adapters.safetensors").read_bytes()


def test_the_last_and_the_lowest_are_kept_as_they_were(job: Callable[..., TrainJob]) -> None:
    by_suite = job("suite", keep={"suite": "manner", "among": 3})
    run = train(by_suite)
    losses = {look.step: look.loss for look in run.validation if look.step}
    assert len(losses) == 4
    *others, last = losses
    lowest = sorted(sorted(others, key=losses.__getitem__)[:2])
    assert [(one.step, one.loss) for one in run.kept] == [(s, losses[s]) for s in (*lowest, last)]
    kept = by_suite.out / "kept"
    assert {folder.name for folder in kept.iterdir()} == {str(one.step) for one in run.kept}

    # They are what a training that ends there would give; the best one is the result as ever.
    last_one, best = job("last", keep="last"), job("best")
    train(last_one)
    assert weights(kept / str(last)) == weights(last_one.out)
    assert train(best).kept == ()
    assert weights(by_suite.out) == weights(best.out) == weights(kept / str(run.best.step))
    assert not (best.out / "kept").exists()


def test_a_kill_changes_none_of_them(job: Callable[..., TrainJob]) -> None:
    keep = {"suite": "manner", "among": 2}
    whole, killed = job("whole", keep=keep), job("killed", keep=keep)
    run = train(whole)

    def kill(progress: Progress) -> None:
        if progress.done == run.kept[0].step + 1:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError):
        train(killed, kill)
    again = train(killed)
    assert again.resumed and again.kept == run.kept
    for one in run.kept:
        below = Path("kept", str(one.step))
        assert weights(killed.out / below) == weights(whole.out / below)


def test_one_that_somebody_has_changed_is_not_handed_over(job: Callable[..., TrainJob]) -> None:
    spoiled = job("spoiled", keep={"suite": "manner", "among": 2})
    run = train(spoiled)
    file = spoiled.work / "kept" / str(run.kept[0].step) / "adapters.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    again = job("spoiled", keep={"suite": "manner", "among": 2})
    with pytest.raises(StepError, match=r"is no more what the training put there") as told:
        train(again)
    assert str(spoiled.work) in told.value.hint


def kept(*losses: float | None) -> list[Kept]:
    return [Kept(step, loss, "") for step, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([3.0, 1.0, 2.0, 4.0], [2, 3, 4]),
        ([1.0, 1.0, 1.0, 1.0], [2, 3, 4]),
        ([1.0, 2.0], [1, 2]),
        ([1.0, 2.0, 3.0], [1, 2, 3]),
        ([None, None, None, None], [2, 3, 4]),
    ],
)
def test_the_newest_stays_and_of_the_others_the_lowest(
    losses: list[float | None], steps: list[int]
) -> None:
    assert [one.step for one in _kept.thinned(kept(*losses), 3)] == steps

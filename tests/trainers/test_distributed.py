"""Real training by mlx.launch: two processes on this machine, which are stopped in every way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jessy_build.trainers import lora
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import TrainingRun, TrainJob
from tests.trainers.rows import write_dataset

pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

TWO = ("127.0.0.1", "127.0.0.1")
NEAR = 1e-4
"""The largest part by which a loss of two processes may differ: sums in another order."""
PLAIN = {
    # Batches of odd sizes, some of one row: then a process has none.
    "lora": {"rank": 4, "alpha": 8},
    "epochs": 6,
    "batch_size": 3,
    "grad_accumulation": 2,
    "optimizer": {"learning_rate": 2e-3, "warmup_steps": 2, "weight_decay": 0.01},
    "loss": {"average": "row"},
}
HARD = {**PLAIN, "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}


def config(**fields: Any) -> Config:
    return Config.model_validate_json(json.dumps(fields))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), valid=5)


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    def make(name: str, hosts: tuple[str, ...] = TWO, **fields: Any) -> TrainJob:
        here = tmp_path / name
        return TrainJob(
            tiny_model, dataset, here / "out", here / "work", config(**fields), hosts=hosts
        )

    return make


def train(job: TrainJob) -> TrainingRun:
    return lora.train(job, lambda _: None, lambda: False)


def adapter(job: TrainJob) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(job.out / "adapters.safetensors"))


def losses(run: TrainingRun) -> list[float]:
    return [point.loss for point in run.curve] + [seen.loss for seen in run.validation]


def test_two_processes_make_the_same_curve_and_adapter_as_one(job: Callable[..., TrainJob]) -> None:
    alone, both = job("alone", (), **PLAIN), job("both", **PLAIN)
    one, two = train(alone), train(both)
    assert (one.processes, two.processes) == (1, 2)
    assert len(one.curve) == len(two.curve) >= 20
    assert losses(two) == pytest.approx(losses(one), rel=NEAR)
    assert losses(one)[0] - losses(one)[len(one.curve) - 1] > 1000 * NEAR, "it has learned"
    assert (two.tokens, two.supervised_tokens) == (one.tokens, one.supervised_tokens)
    expected, found = adapter(alone), adapter(both)
    largest = max(abs(array).max() for array in expected.values())
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert abs(found[name] - array).max() < 1e-3 * largest, name
    assert sorted(file.name for file in both.out.iterdir()) == sorted(
        file.name for file in alone.out.iterdir()
    )

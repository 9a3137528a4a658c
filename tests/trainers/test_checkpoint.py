from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")

from jessy_build.trainers import _checkpoint  # noqa: E402
from jessy_build.trainers._checkpoint import Checkpoint  # noqa: E402


def some(step: int = 7, value: float = 0.5) -> Checkpoint:
    return Checkpoint(
        step=step,
        adapter={"layers.0.q.lora_a": mx.full((2, 3), value)},
        optimizer={"step": mx.array(step, mx.uint64), "layers.0.q.lora_a.m": mx.ones((2, 3))},
        best={},
        state={"random": [1, 4294967295], "history": {"curve": [1.25, 1e-9]}},
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some())
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None
    assert (found.step, found.state) == (7, some().state)
    assert found.best == {}
    assert found.optimizer["step"].dtype == mx.uint64
    assert mx.array_equal(found.adapter["layers.0.q.lora_a"], mx.full((2, 3), 0.5)).item()


def test_the_newest_replaces_the_older_one(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        _checkpoint.save(tmp_path, "job", some(step))
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None and found.step == 3
    assert [file.name for file in tmp_path.iterdir()] == [_checkpoint.NAME]


def test_a_loaded_one_does_not_change_when_the_next_is_written(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some(1, 0.5))
    found = _checkpoint.load(tmp_path, "job")
    _checkpoint.save(tmp_path, "job", some(2, 99.0))
    assert found is not None
    assert float(found.adapter["layers.0.q.lora_a"].max()) == 0.5


def test_a_half_made_one_is_no_checkpoint_and_is_swept_away(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some(1))
    (tmp_path / "half-made.123.safetensors").write_bytes(b"cut off")
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None and found.step == 1
    assert [file.name for file in tmp_path.iterdir()] == [_checkpoint.NAME]


def test_one_that_the_disk_may_not_have_counts_when_it_is_the_newest(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some(1))
    _checkpoint.write(tmp_path, "job", some(2))
    for _ in range(2):
        found = _checkpoint.load(tmp_path, "job")
        assert found is not None and found.step == 2
        assert [file.name for file in tmp_path.iterdir()] == [_checkpoint.NAME]
    _checkpoint.write(tmp_path, "job", some(1))
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None and found.step == 2, "left by one that was killed long ago"


@pytest.mark.parametrize("left", [0, 100, -1])
def test_one_that_the_disk_has_in_part_leaves_the_former_one(tmp_path: Path, left: int) -> None:
    _checkpoint.save(tmp_path, "job", some(1))
    file = _checkpoint.write(tmp_path, "job", some(2))
    file.write_bytes(file.read_bytes()[:left])
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None and found.step == 1
    assert [file.name for file in tmp_path.iterdir()] == [_checkpoint.NAME]


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\xff" * 4000])
def test_a_damaged_one_means_to_start_over(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / _checkpoint.NAME).write_bytes(damage)
    assert _checkpoint.load(tmp_path, "job") is None


def test_one_that_was_changed_by_hand_means_to_start_over(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some())
    file = tmp_path / _checkpoint.NAME
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # the last byte of a number
    file.write_bytes(data)
    assert _checkpoint.load(tmp_path, "job") is None


def test_another_jobs_checkpoint_is_not_taken(tmp_path: Path) -> None:
    _checkpoint.save(tmp_path, "job", some())
    assert _checkpoint.load(tmp_path, "other") is None


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert _checkpoint.load(tmp_path, "job") is None


@pytest.mark.parametrize(
    ("value", "sound"), [(1.0, True), (float("nan"), False), (float("inf"), False)]
)
def test_a_state_that_is_not_finite_is_told(value: float, sound: bool) -> None:
    assert _checkpoint.finite(some(value=value)) is sound

"""A training is saved while it goes on, and what is saved is always whole."""

import threading
from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")

from jessy_build.trainers import _checkpoint  # noqa: E402
from jessy_build.trainers._checkpoint import Checkpoint  # noqa: E402
from jessy_build.trainers._history import History  # noqa: E402
from jessy_build.trainers._saving import Saving  # noqa: E402
from jessy_build.trainers.lora import Point, Validation  # noqa: E402
from tests.trainers.test_checkpoint import some  # noqa: E402


def step(folder: Path) -> int:
    found = _checkpoint.load(folder, "job")
    assert found is not None
    return found.step


def test_each_save_is_in_its_place_before_the_next_begins(tmp_path: Path) -> None:
    saving = Saving(tmp_path, "job", 0.0)
    saving.save(some(1))
    saving.save(some(2))
    # The file of the first is whole; that of the second may not have its name yet.
    assert (tmp_path / _checkpoint.NAME).is_file()
    saving.wait()
    assert step(tmp_path) == 2
    assert [file.name for file in tmp_path.iterdir()] == [_checkpoint.NAME]


def test_it_is_due_after_its_time_and_later_where_saving_takes_long(tmp_path: Path) -> None:
    assert Saving(tmp_path, "job", 0.0).due
    saving = Saving(tmp_path, "job", 3.0)
    assert not saving.due
    saving.begun -= 4.0
    assert saving.due
    saving.took = 2.0
    assert not saving.due


def test_what_the_disk_refuses_is_raised_when_it_is_waited_for(tmp_path: Path) -> None:
    # No file can replace a folder that holds something.
    (tmp_path / _checkpoint.NAME / "in the way").mkdir(parents=True)
    saving = Saving(tmp_path, "job", 0.0)
    saving.save(some(1))
    with pytest.raises(OSError, match=_checkpoint.NAME):
        saving.wait()
    with pytest.raises(OSError, match=_checkpoint.NAME):
        saving.save(some(2))


def test_after_the_last_one_nobody_saves(tmp_path: Path) -> None:
    saving = Saving(tmp_path, "job", 0.0)
    saving.save(some(1))
    saving.save_at_last()
    assert step(tmp_path) == 1, "the one that was under way is whole"
    late = threading.Thread(target=saving.save, args=(some(2),), daemon=True)
    late.start()
    late.join(0.3)
    assert late.is_alive() and step(tmp_path) == 1


def test_a_checkpoint_holds_the_curve_of_its_own_moment(tmp_path: Path) -> None:
    history = History(curve=[Point(1, 0.5, 2.0, 1e-4)], validation=[Validation(0, 0.0, 3.0)])
    kept = Checkpoint(1, some().adapter, {}, {}, {"history": history.now()})
    history.curve.append(Point(2, 1.0, 1.0, 1e-4))
    history.tokens += 7
    _checkpoint.save(tmp_path, "job", kept)
    found = _checkpoint.load(tmp_path, "job")
    assert found is not None
    again = History.restored(found.state["history"])
    assert (len(again.curve), again.tokens) == (1, 0)
    assert again.curve == history.curve[:1] and again.validation == history.validation

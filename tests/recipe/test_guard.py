"""The guard of the fuzz tests sees what it should see: else they would prove nothing."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.recipe import guard


def read_outside(folder: Path) -> None:
    (folder.parent / "outside").read_text()


def list_outside(folder: Path) -> None:
    list(folder.parent.iterdir())


def read_through_a_link(folder: Path) -> None:
    (folder / "link").read_text()


def write(folder: Path) -> None:
    (folder / "inside").write_text("x")


def remove(folder: Path) -> None:
    (folder / "inside").unlink()


def run(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def take_memory(folder: Path) -> None:
    bytearray(guard.MEGABYTES << 21)


def compute(folder: Path) -> None:
    while True:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "inside").write_text("x")
    (tmp_path / "outside").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside")
    return folder


def test_what_is_allowed_is_let_through(folder: Path) -> None:
    with guard.guarded(folder):
        assert (folder / "inside").read_text() == "x"
        assert list(folder.iterdir())


def test_a_module_that_is_imported_on_first_use_is_let_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(folder)
    (folder / "of_no_use_before.py").touch()
    with guard.guarded(folder):
        import_module("of_no_use_before")
    assert not sys.dont_write_bytecode


@pytest.mark.parametrize(
    "action", [read_outside, list_outside, read_through_a_link, write, remove, run, take_memory]
)
def test_what_is_not_allowed_is_noticed(folder: Path, action: Callable[[Path], None]) -> None:
    with pytest.raises(AssertionError), guard.guarded(folder):
        action(folder)


def test_what_does_not_end_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    with pytest.raises(guard.TooLong), guard.guarded(folder):
        compute(folder)

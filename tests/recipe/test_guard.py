"""The guard of the fuzz tests sees what it should see: else they would prove nothing."""

import subprocess
import sys
from collections.abc import Callable
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


FIRST_USE = """
import sys
from pathlib import Path
from tests.recipe import guard
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
with guard.guarded(folder):
    import of_no_use_before
import of_use_afterwards
"""


def test_a_module_that_is_imported_on_first_use_is_let_through(folder: Path) -> None:
    """By a Python that keeps what it has compiled, as on a clean clone."""
    for name in ("of_no_use_before", "of_use_afterwards"):
        (folder / f"{name}.py").touch()
    subprocess.run([sys.executable, "-c", FIRST_USE, str(folder)], check=True)
    (kept,) = (folder / "__pycache__").iterdir()
    assert kept.name.startswith("of_use_afterwards")


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

"""The disk becomes full in the middle: one clear message, nothing finished is lost, and it goes on.

A real file system of a few megabytes is mounted, and filled at the moment in question.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback.server import Seen
from tests.required import missing
from tests.steps import asked
from tests.steps.asked import ITEMS, PLACES, RECIPE, Teacher
from tests.steps.project import Process, Project, Ran

MEGABYTES = 24
LONG = RECIPE.replace("steps: 6", "steps: 40") + "evaluate: {prompts: [hello], max_tokens: 2}\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        missing("mount", "a small file system cannot be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def straight(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    with Teacher() as teacher:
        project = asked.make(tmp_path_factory.mktemp("room") / "p", tiny_model, teacher, LONG)
        assert project.run("build", "recipe.yaml").code == 0
        return asked.results(project)


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher(0.02) as running:
        yield running


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def build(project: Project, disk: Path, sign: str = "") -> Ran:
    """With JSON lines; the disk is filled when one of them holds the sign."""
    project.env = {**project.env, "JESSY_STORE": str(disk / "store")}

    def look(line: str, _: Process) -> None:
        if sign and sign in line:
            fill(disk)

    return project.follow(("build", "recipe.yaml", "--json"), look)


def check(
    full: Ran, project: Project, disk: Path, teacher: Teacher, straight: dict[str, bytes]
) -> None:
    """It was told, and after some room is made the build goes on and ends like any other."""
    told = full.out + full.err
    assert full.code == 1, told
    assert "no space is left on the disk" in told, told
    assert "Traceback" not in told and "fault of jessy-build" not in told, told
    (disk / "filler").unlink(missing_ok=True)
    again = build(project, disk)
    assert again.code == 0, again.out + again.err
    assert set(asked.finished(again.out)).isdisjoint(asked.finished(full.out))
    assert teacher.count <= ITEMS + PLACES
    assert asked.results(project) == straight


@pytest.mark.parametrize("request_number", [1, 2, 10, 25, ITEMS])
def test_while_answers_come_in(
    request_number: int,
    disk: Path,
    tmp_path: Path,
    tiny_model: Path,
    teacher: Teacher,
    straight: dict[str, bytes],
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher, LONG)

    def full(number: int, seen: Seen) -> None:
        if number == request_number:
            fill(disk)

    teacher.when_asked = full
    done = build(project, disk)
    teacher.when_asked = lambda number, seen: None
    check(done, project, disk, teacher, straight)


MOMENTS = {
    **{
        f"{step} begins": f'"event": "step_started", "step": "{step}"'
        for step in ("fetch", "convert", "train", "fuse", "gguf", "evaluate", "report")
    },
    **{
        f"{step} ended": f'"event": "step_finished", "step": "{step}"'
        for step in ("generate:talk", "validate", "assemble", "train", "gguf")
    },
    "training": '"step": "train", "done": 3,',
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_at_any_step(
    moment: str,
    disk: Path,
    tmp_path: Path,
    tiny_model: Path,
    teacher: Teacher,
    straight: dict[str, bytes],
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher, LONG)
    full = build(project, disk, MOMENTS[moment])
    check(full, project, disk, teacher, straight)


@pytest.mark.parametrize("command", ["build", "plan", "status"])
def test_a_disk_that_is_full_from_the_start_is_told_in_one_line(
    command: str, disk: Path, tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher, LONG)
    fill(disk)
    done = project.run(command, "recipe.yaml", JESSY_STORE=str(disk / "store"))
    assert done.code == 1, done.out + done.err
    assert "no space is left on the disk" in done.err, done.err
    assert len(done.err.splitlines()) <= 2
    assert teacher.count == 0, "nothing is paid for that could not be kept"

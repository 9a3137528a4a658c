"""Builds whose training is followed: what is trained is the same, whatever becomes of a tracker."""

import json
import shutil
import socket
import subprocess
import sysconfig
import venv
from contextlib import suppress
from pathlib import Path

import pytest

from jessy_build.engine.store import Store
from tests.steps.killing import kill_when
from tests.steps.project import Project
from tests.trackers import read
from tests.trackers.test_trackers import needs

UNTIL = ("--until", "train")
TRACKED = """\
  track:
    tensorboard: {folder: runs}
    wandb: {project: jessy, entity: us}
    mlflow: {uri: "http://127.0.0.1:PORT", experiment: jessy}
"""


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return Project.make(tmp_path / "p", tiny_model)


def track(project: Project, block: str) -> None:
    project.edit("  batch_size: 4\n", "  batch_size: 4\n" + block)


def adapter(project: Project) -> bytes:
    return (project.root / "builds/tiny/v1/adapter/adapters.safetensors").read_bytes()


def lines(project: Project) -> list[dict[str, float]]:
    file = project.root / "builds/tiny/v1/metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def losses(project: Project) -> list[tuple[int, float]]:
    return [(int(line["step"]), line["loss"]) for line in lines(project) if "loss" in line]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_tracker_changes_nothing_of_a_training_and_reruns_none(project: Project) -> None:
    for kind in ("tensorboard", "wandb", "mlflow"):
        needs(kind)
    assert project.run("build", "recipe.yaml", *UNTIL).code == 0
    plain = adapter(project)
    port = closed_port()
    track(project, TRACKED.replace("PORT", str(port)))
    for old, new in (
        ("folder: runs", "folder: others"),
        ("project: jessy", "project: other"),
        ("entity: us", "entity: you"),
        (str(port), "9"),
        ("experiment: jessy", "experiment: other"),
    ):
        assert "Nothing to do" in project.run("plan", "recipe.yaml", *UNTIL).out
        project.edit(old, new)
    assert "Nothing to do" in project.run("build", "recipe.yaml", *UNTIL).out
    assert not (project.root / "others").exists()

    shutil.rmtree(project.root / ".jessy")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert adapter(project) == plain
    assert "tensorboard follows the training: tensorboard --logdir" in done.out
    assert "wandb follows the training: wandb sync" in done.out
    assert done.out.count("mlflow does not follow the training: ") == 1, done.out

    facts = Store(project.root / ".jessy").ledger.newest("train")[0].facts["tracked"]
    assert facts["tensorboard"]["told"] == facts["wandb"]["told"] == len(lines(project))
    assert facts["mlflow"]["told"] == 0 and "Connection" in facts["mlflow"]["problem"]
    page = (project.root / "builds/tiny/v1/report.html").read_text()
    assert "tensorboard --logdir" in page and "<dt>track.mlflow</dt>" in page
    for curves in (
        read.tensorboard(project.root / "others"),
        read.wandb(project.root / "builds/tiny/v1")[0],
    ):
        assert [s for s, _ in curves["loss"]] == [s for s, _ in losses(project)]
        values = [v for _, v in losses(project)]
        assert [v for _, v in curves["loss"]] == pytest.approx(values)


@pytest.mark.parametrize("harsh", [False, True])
def test_a_killed_training_goes_on_in_the_same_run(project: Project, harsh: bool) -> None:
    """Harsh: trackers die as well, and with them what they had not passed on."""
    for kind in ("tensorboard", "wandb"):
        needs(kind)
    project.edit("epochs: 2", "epochs: 60")
    track(project, "  track: {tensorboard: {}, wandb: {project: jessy}}\n")
    folder = project.root / "builds/tiny/v1"

    def due() -> bool:
        # Folders of steps that have ended go away meanwhile.
        with suppress(FileNotFoundError):
            notes = (project.root / ".jessy").glob("work/*/*.json")
            return sum(json.loads(file.read_text()).get("told", 0) > 30 for file in notes) == 2
        return False

    assert kill_when(project, UNTIL, due, harsh=harsh), "it was too quick to be killed"
    done = project.run("build", "recipe.yaml", *UNTIL)
    assert done.code == 0, done.out + done.err
    steps = [step for step, _ in losses(project)]
    assert steps == list(range(1, 301))
    assert [s for s, _ in read.tensorboard(folder / "tensorboard")["loss"]] == steps
    assert [s for s, _ in read.wandb(folder)[0]["loss"]] == steps


def without(package: str, folder: Path) -> str:
    """The Python of an environment that has all of this one's packages but that."""
    venv.create(folder, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(package.lower()):
            (there / entry.name).symlink_to(entry)
    return str(folder / "bin/python")


def test_a_package_that_is_missing_is_said_before_anything_runs(
    project: Project, tmp_path: Path
) -> None:
    needs("tensorboard")
    track(project, "  track: {tensorboard: {}, wandb: {project: jessy}}\n")
    python = without("tensorboardX", tmp_path / "venv")

    def said(*words: str) -> str:
        command = [python, "-m", "jessy_build", words[0], "recipe.yaml", *words[1:]]
        env = project.environment(WANDB_MODE="offline")
        done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    told = "train.track.tensorboard needs the package 'tensorboardX', which is not installed"
    for words in (("plan",), ("build", "--until", "assemble"), ("build", *UNTIL)):
        # Before a training, and only before one.
        err = said(*words)
        assert (told in err) == ("assemble" not in words), err
        assert ("uv pip install 'jessy-build[track]'" in err) == (told in err)
    assert told not in said("build", *UNTIL), "nothing is left to be followed"

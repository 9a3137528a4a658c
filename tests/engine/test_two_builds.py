"""Builds of one workspace at once: all end well, and together they do the work of one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.steps import asked
from tests.steps.asked import ITEMS, PLACES, Teacher
from tests.steps.project import Project

UNTIL = ("--until", "assemble")
SLOW = 0.03


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher(SLOW) as running:
        yield running


@dataclass
class Running:
    process: "subprocess.Popen[str]"

    def end(self) -> str:
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, (out, err)
        assert "Traceback" not in err
        return out

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def start(project: Project, *words: str, recipe: str = "recipe.yaml") -> Running:
    process = subprocess.Popen(
        project.command("build", recipe, "--json", *words),
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Running(process)


def made_in_all(*outs: str) -> Counter[str]:
    return Counter(step for out in outs for step in asked.finished(out))


STEPS = ("generate:talk", "generate:deep", "generate:smalltalk", "validate", "assemble")
ONCE = Counter(STEPS)


@pytest.mark.parametrize("builds", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_builds_at_random_offsets_share_the_work_of_one(
    seed: int, builds: int, tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    """Seed 0 starts them in the same moment, on a store that is not there yet."""
    drawn = random.Random(seed)
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    running = []
    for _ in range(builds):
        running.append(start(project, *UNTIL))
        time.sleep(seed and drawn.uniform(0, 0.6))
    outs = [each.end() for each in running]
    assert made_in_all(*outs) == ONCE
    assert teacher.count == ITEMS


def test_whole_builds_at_once_train_once(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    first = start(project)
    time.sleep(0.3)
    second = start(project)
    outs = [first.end(), second.end()]
    made = made_in_all(*outs)
    assert set(made.values()) == {1}
    assert {"train", "fuse", "gguf", "parity", "deploy", "report"} <= set(made)
    assert teacher.count == ITEMS
    notes = [
        (line["step"], line["text"])
        for line in asked.events("".join(outs))
        if line["event"] == "step_note" and "another build" in line["text"]
    ]
    assert ("train", "another build makes train: waiting") in notes
    assert len(notes) == len(set(notes)), "it is said once"
    again = project.run("build", "recipe.yaml")
    assert again.code == 0 and "Nothing to do" in again.out


@pytest.mark.parametrize("seed", range(4))
def test_when_one_of_three_is_killed_the_others_finish_the_work(
    seed: int, tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    drawn = random.Random(seed)
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    running = [start(project, *UNTIL) for _ in range(3)]
    victim = running.pop(drawn.randrange(3))
    deadline = time.monotonic() + 60
    while teacher.count < drawn.uniform(1, ITEMS) and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.kill()
    outs = [each.end() for each in running]
    assert teacher.settle() <= ITEMS + PLACES, "no more is asked again than was in flight"
    made = made_in_all(*outs)
    assert not made - ONCE and "assemble" in made
    again = project.run("build", "recipe.yaml", *UNTIL, "--json")
    assert again.code == 0 and asked.finished(again.out) == []


def test_whoever_waits_in_training_goes_on_where_a_killed_build_was(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    project.edit("steps: 6", "steps: 400")
    victim = start(project, "--until", "train")
    assert victim.process.stdout
    for line in victim.process.stdout:
        if '"step": "train", "done": 3' in line:
            break
    waits = start(project, "--until", "train")
    assert waits.process.stdout
    for line in waits.process.stdout:
        if "another build makes train: waiting" in line:
            break
    victim.kill()
    out = waits.end()
    assert asked.finished(out) == ["train"]
    begun = next(line for line in asked.events(out) if line["event"] == "step_progress")
    assert begun["step"] == "train" and begun["done"] >= 3, "it went on from the checkpoint"


def test_who_waits_hears_ctrl_c(tmp_path: Path, tiny_model: Path, teacher: Teacher) -> None:
    teacher.seconds = 3.0
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    first = start(project, *UNTIL)
    while teacher.count < 1:
        time.sleep(0.01)
    second = start(project, *UNTIL)
    assert second.process.stdout
    for line in second.process.stdout:
        if "waiting" in line:
            break
    second.process.send_signal(signal.SIGINT)
    second.process.communicate(timeout=20)
    assert second.process.returncode == 130
    first.kill()


def test_different_recipes_at_once_share_what_they_have_in_common(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    """Two versions that differ in training only, and a third one with a category less."""
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    text = (project.root / "recipe.yaml").read_text()
    one, two = text.replace("steps: 6", "steps: 3"), text.replace("steps: 6", "steps: 4")
    (project.root / "one.yaml").write_text(one.replace("version: v1", "version: one"))
    (project.root / "two.yaml").write_text(two.replace("version: v1", "version: two"))
    less = "\n".join(line for line in text.splitlines() if not line.startswith("  deep:"))
    (project.root / "less.yaml").write_text(less.replace("version: v1", "version: less"))
    running = [
        start(project, "--until", "train", recipe="one.yaml"),
        start(project, "--until", "train", recipe="two.yaml"),
        start(project, *UNTIL, recipe="less.yaml"),
    ]
    made = made_in_all(*(each.end() for each in running))
    assert teacher.count == ITEMS
    for step in ("fetch", "convert", *STEPS[:3]):
        assert made[step] == 1, step
    assert (made["train"], made["validate"], made["assemble"]) == (2, 2, 2)
    rows = [
        (project.root / f"builds/asked/{name}/dataset/train.jsonl").read_text()
        for name in ("one", "two", "less")
    ]
    assert rows[0] == rows[1]
    ids = [{json.loads(line)["id"] for line in text.splitlines()} for text in rows]
    assert ids[2] < ids[0]


def test_different_versions_at_once_pay_once_for_the_questions_they_share(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    """No step of theirs is the same: one wants six rows more of each topic."""
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    text = (project.root / "recipe.yaml").read_text()
    more = text.replace("count: 24", "count: 36").replace("greetings: 12", "greetings: 18")
    more = more.replace("thanks: 12", "thanks: 18").replace("count: 16", "count: 20")
    (project.root / "more.yaml").write_text(more.replace("version: v1", "version: more"))
    running = [start(project, *UNTIL), start(project, *UNTIL, recipe="more.yaml")]
    for each in running:
        each.end()
    assert teacher.count == 36 + 20
    rows = [
        {json.loads(line)["id"] for line in file.read_text().splitlines()}
        for file in sorted((project.root / "builds/asked").glob("*/dataset/train.jsonl"))
    ]
    assert len(rows) == 2 and rows[0] & rows[1]


def test_a_ledger_that_is_not_there_yet_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.engine.opening", str(tmp_path)]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]

"""What is edited while a build runs: the build rests on what it read, and the next one notices."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jessy_build.engine.events import Event, StepFailed, StepProgress, StepStarted
from jessy_build.recipe.load import load
from jessy_build.steps import builds
from tests.loopback.server import Seen
from tests.steps import asked
from tests.steps.asked import Teacher
from tests.steps.project import Project

CHUNK = 1 << 20


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher() as running:
        yield running


def test_edits_while_a_build_runs_are_not_in_it_and_the_next_plan_sees_them(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    (project.root / "chat.jinja").write_text((tiny_model / "chat_template.jinja").read_text())
    project.edit('{model: "path:base"}', '{model: "path:base", chat_template: chat.jinja}')
    files = ["rows.jsonl", "ask.j2", "deep.j2", "chat.jinja", "recipe.yaml", "base/config.json"]
    as_read = {name: (project.root / name).read_bytes() for name in files}
    edited: list[str] = []

    def edit(number: int, seen: Seen) -> None:
        """One file with each of the first requests: in the middle of generating."""
        if number <= len(files):
            name = files[number - 1]
            with (project.root / name).open("ab") as file:
                file.write(MEANWHILE.get(name, b"!"))
            edited.append(name)

    teacher.when_asked = edit
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert sorted(edited) == sorted(files)
    rows = (project.root / "builds/asked/v1/dataset/train.jsonl").read_text()
    assert "hello number 3" in rows and "written meanwhile" not in rows

    plan = project.run("plan", "recipe.yaml").out
    for step in ("fetch", "generate:talk", "generate:deep", "generate:smalltalk", "convert"):
        assert f" {step} " in plan, plan
    for name, content in as_read.items():
        (project.root / name).write_bytes(content)
    again = project.run("build", "recipe.yaml")
    assert "Nothing to do" in again.out, "what was built is what was read"


MEANWHILE = {
    "rows.jsonl": b'{"user": "written meanwhile", "assistant": "yes", "language": "en"}\n',
    "recipe.yaml": b"description: written meanwhile\n",
    "base/config.json": b" ",
}
"""What is added to each file; to a template, a letter."""


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen_too(
    tmp_path: Path, tiny_model: Path, teacher: Teacher
) -> None:
    project = asked.make(tmp_path / "p", tiny_model, teacher)
    rows = project.root / "rows.jsonl"
    # Old enough for its digest to be noted by its times.
    time.sleep(2.1)

    def edit(number: int, seen: Seen) -> None:
        if number == 1:
            before = rows.stat()
            rows.write_text(rows.read_text().replace("fine", "good"))
            os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns))

    teacher.when_asked = edit
    assert project.run("build", "recipe.yaml").code == 0
    assert "generate:smalltalk" in project.run("plan", "recipe.yaml").out


Edit = Callable[[Path], None]


def test_a_base_edited_before_it_is_copied_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    config = project.root / "base/config.json"
    before = config.read_bytes()

    def edit(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "fetch":
            config.write_bytes(before + b" ")

    problem = failure(project, edit)
    assert "the base changed while it was read (config.json)" in problem
    config.write_bytes(before)
    assert project.run("build", "recipe.yaml", "--until", "convert").code == 0


@pytest.mark.parametrize("edit", ["second half", "cut off", "grown", "removed"])
def test_a_base_edited_while_it_is_copied_is_refused(tmp_path: Path, edit: str) -> None:
    (tmp_path / "p").mkdir()
    project = Project.make(tmp_path / "p2", tmp_path / "p")
    base = project.root / "base.gguf"
    content = b"GGUF" + bytes(6 * CHUNK)
    base.write_bytes(content)
    project.edit('"path:base"', '"gguf:base.gguf"')
    done: list[str] = []

    def on(event: Event) -> None:
        """The copy has taken one piece of six, and goes on with a file that is another one."""
        if isinstance(event, StepProgress) and event.step == "fetch" and not done:
            done.append(edit)
            edits[edit](base)

    edits: dict[str, Edit] = {
        "second half": lambda file: write_at(file, 4 * CHUNK, b"other"),
        "cut off": lambda file: write_at(file, 4 * CHUNK, None),
        "grown": lambda file: write_at(file, 6 * CHUNK + 4, b"more"),
        "removed": lambda file: file.unlink(),
    }
    if edit == "removed":
        # Whoever has it open reads it whole: there is nothing to refuse.
        assert failure(project, on) == "" and done
        return
    assert "the base changed while it was read" in failure(project, on)
    base.write_bytes(content)
    assert project.run("build", "recipe.yaml", "--until", "fetch").code == 0


def write_at(file: Path, place: int, data: bytes | None) -> None:
    with file.open("r+b") as handle:
        handle.seek(place)
        handle.truncate() if data is None else handle.write(data)


def test_a_base_that_gets_a_file_more_while_it_is_copied_is_refused(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)

    def add(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "fetch":
            (project.root / "base/added_tokens.json").write_text("{}")

    assert "the base changed while it was read (added_tokens.json)" in failure(project, add)


def test_half_a_weight_file_is_told_as_the_edit_that_it_is(
    tmp_path: Path, tiny_model: Path
) -> None:
    """Not as a damaged model: it is whole again in a moment."""
    project = Project.make(tmp_path / "p", tiny_model)
    weights = project.root / "base/model.safetensors"

    def cut(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "fetch":
            weights.write_bytes(weights.read_bytes()[:1000])

    assert "the base changed while it was read (model.safetensors)" in failure(project, cut)


def failure(project: Project, sink: Callable[[Event], None]) -> str:
    """Build up to `fetch` in this process, with a hand in it; returns what was told, or ''."""
    told: list[str] = []

    def both(event: Event) -> None:
        if isinstance(event, StepFailed):
            told.append(event.problem)
        sink(event)

    workspace = builds.open_workspace(load(project.root / "recipe.yaml"))
    builds.build(workspace, both, "fetch")
    workspace.store.ledger.close()
    return "".join(told)


def test_an_edit_that_changes_no_row_reruns_nothing_behind(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    until = ("--until", "assemble", "--json")
    assert project.run("build", "recipe.yaml", *until).code == 0
    project.edit("train:\n", "dataset: {validate: {min_chars: 2}}\ntrain:\n")
    done = project.run("build", "recipe.yaml", *until)
    assert done.code == 0, done.out + done.err
    assert asked.finished(done.out) == ["validate"]

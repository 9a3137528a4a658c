"""jessy gc on a real project: what recent builds, locks and live models name stays."""

import itertools
import json
import re
import shutil
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jessy_build.console import Console
from jessy_build.steps import gc as gc_step
from tests.loopback.ollama_models import ModelServer
from tests.steps import asked, published
from tests.steps.asked import Teacher
from tests.steps.project import Project

UNTIL = ("build", "recipe.yaml", "--until", "assemble")
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def deployed(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, server: ModelServer
) -> Project:
    """Three full builds: v1 and v2 in Ollama, and v2 once more with another temperature."""
    project = Project.make(tmp_path_factory.mktemp("gc") / "p", tiny_model, OLLAMA_HOST=server.url)
    project.edit("epochs: 2", "steps: 2")
    build(project)
    project.edit("version: v1", "version: v2")
    project.edit("rank: 4", "rank: 2")
    build(project)
    project.edit("temperature: 0.2", "temperature: 0.7")
    build(project)
    return project


@pytest.fixture
def project(deployed: Project, tmp_path: Path) -> Project:
    shutil.copytree(deployed.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p", deployed.env)


@pytest.fixture
def rows(tiny_model: Path, tmp_path: Path) -> Project:
    """Rows alone, curated: quick to build again and again."""
    return Project.make(tmp_path / "rows", tiny_model)


def build(project: Project, *words: str) -> None:
    done = project.run("build", "recipe.yaml", *words)
    assert done.code == 0, done.out + done.err


def gc(project: Project, *words: str, **env: str) -> dict[str, Any]:
    done = project.run("gc", "--json", *words, **env)
    assert done.code == 0, done.out + done.err
    return published.read(done.out, "gc")


def steps(document: dict[str, Any]) -> list[str]:
    return sorted(gone["step"] for gone in document["artifacts"])


def stored(project: Project) -> int:
    files = (project.root / ".jessy/objects").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def write_rows(project: Project, count: int) -> None:
    lines = (
        {"user": f"question {n} of {count}?", "assistant": "an answer", "language": "en"}
        | {"complexity": "low"}
        for n in range(count)
    )
    (project.root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))


def test_old_builds_go_and_the_kept_ones_need_nothing_made_again(rows: Project) -> None:
    for count in (10, 11, 12):
        write_rows(rows, count)
        build(rows, "--until", "assemble")
    (rows.root / "recipe.lock.yaml").unlink()
    before = stored(rows)
    done = rows.run("gc", "--keep-last", "2")
    assert "Kept: the last 2 builds of 1 recipe" in done.out
    assert re.search(r"results of steps +3 +assemble 1, generate 1, validate 1", done.out)
    assert re.search(r"^Freed \d", done.out, re.MULTILINE)
    assert stored(rows) < before
    for count in (12, 11):
        write_rows(rows, count)
        assert rows.run(*UNTIL).ran == [], f"{count} rows are among the last two builds"
    write_rows(rows, 10)
    assert rows.run(*UNTIL).ran == ["generate:smalltalk", "validate", "assemble"]


def test_a_dry_run_says_the_same_and_removes_nothing(rows: Project) -> None:
    for count in (10, 11):
        write_rows(rows, count)
        build(rows, "--until", "assemble")
    said = gc(rows, "--keep-last", "1", "--dry-run")
    (words, size) = (rows.run("gc", "--keep-last", "1", "--dry-run").out, stored(rows))
    assert "nothing was removed" in words
    done = gc(rows, "--keep-last", "1")
    same = ("artifacts", "objects", "bytes", "views", "work_folders")
    assert [said[name] for name in same] == [done[name] for name in same]
    assert size - stored(rows) == done["bytes"] > 0


def test_what_a_lock_file_names_stays_also_when_a_merge_has_broken_it(rows: Project) -> None:
    write_rows(rows, 10)
    build(rows, "--until", "assemble")
    lock = (rows.root / "recipe.lock.yaml").read_text()
    (rows.root / "old").mkdir()
    torn = "<<<<<<< HEAD\n" + lock + "=======\nkey: 1\n>>>>>>> other\n"
    (rows.root / "old" / "v0.lock.yaml").write_text(torn)
    for count in (11, 12):
        write_rows(rows, count)
        build(rows, "--until", "assemble")
    document = gc(rows, "--keep-last", "1")
    assert document["locks"] == ["recipe.lock.yaml", "old/v0.lock.yaml"]
    assert steps(document) == ["assemble", "generate:smalltalk", "validate"], "those of 11 rows"
    write_rows(rows, 10)
    assert rows.run(*UNTIL).ran == []


def test_a_lock_file_that_cannot_be_read_stops_it_all(rows: Project) -> None:
    for count in (10, 11):
        write_rows(rows, count)
        build(rows, "--until", "assemble")
    (rows.root / "x.lock.yaml").symlink_to("nowhere")
    size = stored(rows)
    done = rows.run("gc", "--keep-last", "1")
    assert done.code == 1 and "x.lock.yaml cannot be read" in done.err
    assert "nothing was removed" in done.err and stored(rows) == size


def test_locks_of_every_project_that_shares_the_store_count(
    rows: Project, tiny_model: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    other = Project.make(tmp_path / "other", tiny_model, JESSY_STORE=store)
    mine = Project(rows.root, {"JESSY_STORE": store})
    write_rows(other, 15)
    build(other, "--until", "assemble")
    write_rows(other, 16)
    assert other.run("build", "recipe.yaml", "--until", "assemble", "--set", "version=w").code == 0
    write_rows(mine, 10)
    build(mine, "--until", "assemble")
    assert steps(gc(mine, "--keep-last", "1")) == ["assemble", "generate:smalltalk", "validate"]
    write_rows(other, 15)
    assert other.run(*UNTIL).ran == []


def test_what_ollama_serves_now_stays_whole_and_the_rest_goes(
    project: Project, server: ModelServer
) -> None:
    (project.root / "recipe.lock.yaml").unlink()
    document = gc(project, "--keep-last", "1", "--dry-run")
    assert document["ollama"] == "answers" and document["models"] == ["tiny:v2", "tiny:v1"]
    # The second build's v2 is what a rollback goes back to.
    assert steps(document) == []
    before = dict(server.models)
    try:
        del server.models["tiny:previous"]
        document = gc(project, "--keep-last", "1", "--dry-run")
        # Of it only what another temperature replaced; v1 is served, so all of it stays.
        assert steps(document) == ["deploy", "report"]
        del server.models["tiny:v1"]
        document = gc(project, "--keep-last", "1")
    finally:
        server.models.update(before)
    assert document["models"] == ["tiny:v2"]
    gone = steps(document)
    assert {"train", "fuse", "gguf", "evaluate"} <= set(gone) and gone.count("deploy") == 2
    assert project.run("build", "recipe.yaml").ran == []


def test_without_an_answer_from_ollama_every_tag_keeps_its_last_deploy(project: Project) -> None:
    (project.root / "recipe.lock.yaml").unlink()
    done = project.run("gc", "--keep-last", "1", OLLAMA_HOST=NOBODY)
    assert "no Ollama answers at http://127.0.0.1:9, so what is live is not known" in done.out
    assert "tiny:v2, tiny:v1" in done.out
    project.edit("temperature: 0.7", "temperature: 0.2")
    project.edit("version: v2", "version: v1")
    project.edit("rank: 2", "rank: 4")
    assert project.run("build", "recipe.yaml").ran == [], "v1 is whole"


def test_paid_answers_stay_unless_asked_for_and_then_those_behind_kept_rows_do(
    tiny_model: Path, tmp_path: Path
) -> None:
    with Teacher() as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        build(project, "--until", "assemble")
        (project.root / "deep.j2").write_text("Something deeper, number {{ ordinal }}.")
        build(project, "--until", "assemble")
        assert teacher.count == asked.ITEMS + 16
        (project.root / "recipe.lock.yaml").unlink()
        assert gc(project, "--keep-last", "1")["answers"] == 0
        assert gc(project, "--keep-last", "1", "--answers-older-than", "1")["answers"] == 0
        time.sleep(0.05)
        assert gc(project, "--answers-older-than", "0", "--keep-last", "1")["answers"] == 16
        assert project.run(*UNTIL).ran == []
        (project.root / "deep.j2").write_text("Something deep, number {{ ordinal }}.")
        build(project, "--until", "assemble")
        assert teacher.count == asked.ITEMS + 16 + 16, "those 16 have to be asked again"


def test_gc_beside_a_running_build_takes_nothing_from_it(tiny_model: Path, tmp_path: Path) -> None:
    with Teacher(seconds=0.3) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        running = project.start(*UNTIL, "--json")
        turns = 0
        while running.poll() is None:
            done = project.run("gc", "--keep-last", "1")
            assert done.code in (0, 1) and "Traceback" not in done.err, done.err
            turns += done.code == 0
        out, err = running.communicate()
        assert running.returncode == 0, out + err
        assert turns >= 1 and teacher.count == asked.ITEMS
        assert project.run(*UNTIL).ran == []


def test_answers_are_not_removed_while_a_build_runs(tiny_model: Path, tmp_path: Path) -> None:
    with Teacher(seconds=60) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        running = project.start(*UNTIL)
        while teacher.count == 0:
            time.sleep(0.02)
        done = project.run("gc", "--answers-older-than", "0")
        running.kill()
        running.communicate()
    assert done.code == 1 and "a build is running" in done.err


@pytest.mark.parametrize(("things", "told"), [(gc_step.LONG, True), (gc_step.LONG - 1, False)])
def test_a_long_one_shows_its_progress(things: int, told: bool) -> None:
    stream = StringIO()
    console = Console(stream, tty=False, env={}, clock=itertools.count(0, 3600).__next__)
    progress = gc_step.bar(console)
    progress(1, things, "results of steps")
    progress(things // 2, things, "stored files")
    progress(things, things, "")
    assert ("50% " in stream.getvalue() and "stored files" in stream.getvalue()) is told
    assert bool(stream.getvalue()) is told


def test_without_a_store_it_says_so_and_makes_none(tmp_path: Path) -> None:
    done = Project(tmp_path).run("gc")
    assert done.code == 1 and "nothing was built here yet" in done.err
    assert not (tmp_path / ".jessy").exists()


@pytest.mark.parametrize("words", [("--keep-last", "0"), ("--answers-older-than", "soon")])
def test_a_number_that_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    done = Project(tmp_path).run("gc", *words)
    assert done.code == 2 and words[1] in done.err

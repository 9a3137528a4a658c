"""jessy status: how far a recipe is, also while a build runs and after it was killed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import messages_api
from tests.steps import asked, published
from tests.steps.asked import Teacher
from tests.steps.project import SIGKILL, Project

FOREVER = 60.0
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher() as running:
        yield running


@pytest.fixture
def project(tiny_model: Path, tmp_path: Path, teacher: Teacher) -> Project:
    return asked.make(tmp_path / "p", tiny_model, teacher)


def status(project: Project) -> dict[str, Any]:
    done = project.run("status", "recipe.yaml", "--json")
    assert done.code == 0, done.out + done.err
    return published.read(done.out, "status")


def rows(document: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {c["category"]: (c["rows"], c["target"]) for c in document["categories"]}


def test_before_the_first_build_there_are_targets_and_the_curated_rows(project: Project) -> None:
    document = status(project)
    assert rows(document) == {"talk": (0, 24), "deep": (0, 16), "smalltalk": (24, 24)}
    assert document["builds"] == [] and document["rejected"] is None
    text = project.run("status", "recipe.yaml").out
    assert "Not built yet." in text and "0/24 … 0 %" in text


def test_progress_is_told_while_a_build_runs_and_after_it_was_killed(
    project: Project, teacher: Teacher
) -> None:
    teacher.seconds = 0.15
    running = project.start(*UNTIL)
    while teacher.count < 12:
        time.sleep(0.02)
    teacher.seconds = FOREVER
    document = status(project)
    told = document["builds"][0]
    assert told["status"] == "running" and told["seconds"] > 0
    assert set(told["at"]) & {"generate:talk", "generate:deep"}
    counted = rows(document)
    assert 1 <= counted["talk"][0] + counted["deep"][0] <= teacher.count
    assert re.search(r"build:1 +v1 +running: .*generate:", project.run("status", "recipe.yaml").out)
    running.send_signal(SIGKILL)
    running.communicate()
    after = status(project)
    assert after["builds"][0]["status"] == "killed"
    filled = sum(done for done, _ in rows(after).values()) - 24
    asked_for = teacher.settle()
    assert asked_for - 8 <= filled < asked_for, "all but those in flight"
    assert after["spent"]["requests"] == filled
    teacher.seconds = 0.0
    assert project.run(*UNTIL).code == 0
    assert rows(status(project)) == {"talk": (24, 24), "deep": (16, 16), "smalltalk": (24, 24)}


def test_a_lowered_count_leaves_more_answers_than_the_target(project: Project) -> None:
    assert project.run(*UNTIL).code == 0
    project.edit("count: 24", "count: 20")
    project.edit("{greetings: 12, thanks: 12}", "{greetings: 10, thanks: 10}")
    text = project.run("status", "recipe.yaml").out
    assert "20/20 ✓ 100 %" in text, "each number has a prompt of its own"
    (project.root / "ask.j2").write_text("A line about {{ topic.name }}.")
    assert "0/20 … 0 %" in project.run("status", "recipe.yaml").out
    assert project.run(*UNTIL).code == 0
    project.edit("count: 20", "count: 16")
    project.edit("{greetings: 10, thanks: 10}", "{greetings: 8, thanks: 8}")
    assert "20/16 ✓ 125 %" in project.run("status", "recipe.yaml").out


def test_spending_is_summed_over_all_builds_also_failed_ones(
    tiny_model: Path, tmp_path: Path
) -> None:
    with Teacher(0.0, *(messages_api.spent() for _ in range(8))) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        prices = "concurrency: 4, prices: {input: 1.0, output: 4.0, as_of: 2026-11-01}}"
        project.edit("concurrency: 4}", prices)
        assert project.run(*UNTIL).code == 1
        while project.run(*UNTIL).code == 1:
            pass
    document = status(project)
    assert document["builds"][-1]["status"] == "failed"
    assert document["spent"]["requests"] == asked.ITEMS
    assert document["spent"]["dollars"] == pytest.approx(asked.ITEMS * (11 + 4 * 7) / 1e6)
    text = project.run("status", "recipe.yaml").out
    assert f"Spent: {asked.ITEMS} requests, {11 * asked.ITEMS} tokens in" in text


def test_rejected_rows_are_counted_by_rule(tiny_model: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    path = project.root / "rows.jsonl"
    lines = path.read_text().splitlines()
    short = [line.replace("fine, thanks a lot!", "no") for line in lines[:2]]
    path.write_text("\n".join([*short, *lines[2:]]) + "\n")
    rules = "dataset: {validate: {min_chars: 5, on_reject: drop}}\n"
    project.write((project.root / "recipe.yaml").read_text() + rules)
    assert project.run(*UNTIL).code == 0
    rejected = status(project)["rejected"]
    assert rejected["rows"] == 2 and sum(rejected["by_rule"].values()) == 2
    (rule,) = rejected["by_rule"]
    assert f"Rejected: 2 rows ({rule} 2)" in project.run("status", "recipe.yaml").out


def test_warnings_are_counted_apart_from_what_rejects(tiny_model: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    path = project.root / "rows.jsonl"
    path.write_text(path.read_text().replace("fine, thanks a lot!", "ja, sehr", 3))
    path.write_text(path.read_text().replace("ja, sehr", "As an AI, I am fine."))
    rules = "dataset: {validate: {forbid: [as an ai], on_reject: drop}}\n"
    text = (project.root / "recipe.yaml").read_text().replace("count: all", "count: 24")
    project.write(text + rules)
    built = project.run(*UNTIL)
    warned = "balance: 'smalltalk' has 21 of the 24 rows asked for"
    assert warned in built.out and "3 rejected, 1 warning" in built.out
    rejected = status(project)["rejected"]
    assert rejected == {"rows": 3, "by_rule": {"forbid": 3}, "warned": {"balance": 1}}
    said = project.run("status", "recipe.yaml").out
    assert "Rejected: 3 rows (forbid 3)\nWarnings: 1 (balance 1)\n" in said


def test_without_a_recipe_all_that_were_built_are_listed(tiny_model: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    assert project.run(*UNTIL).code == 0
    text = (project.root / "recipe.yaml").read_text()
    (project.root / "other.yaml").write_text(text.replace("version: v1", "version: w7"))
    assert project.run("build", "other.yaml", "--until", "assemble").code == 0
    done = project.run("status")
    assert re.search(r"^other\.yaml +w7 +build:2 +nothing to do", done.out, re.M)
    assert re.search(r"^recipe\.yaml +v1 +build:1 +done", done.out, re.M)
    document = published.read(project.run("status", "--json").out, "overview")
    assert [told["recipe"] for told in document["recipes"]] == ["other.yaml", "recipe.yaml"]


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    done = Project(tmp_path).run("status")
    assert done.code == 1 and "nothing was built here yet" in done.err

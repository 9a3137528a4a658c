"""`dataset.enhance` changes what is trained on, from `assemble` on, and says what it did."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.steps import published
from tests.steps.asked import Teacher
from tests.steps.project import Project

ROWS = [
    {"user": f"soru {n}", "assistant": "Oldu bile.", "language": "tr", "complexity": "low"}
    for n in range(20)
] + [
    {"user": f"question {n}", "assistant": "Done.", "language": "en", "complexity": "low"}
    for n in range(5)
]
RECIPE = """\
recipe: 1
name: enhanced
version: v1
base: {model: "path:base"}
teachers: {curated: {kind: curated, files: [rows.jsonl]}}
categories: {smalltalk: {teacher: curated, count: all}}
dataset:
  split: {train: 0.8, valid: 0.2}
"""
ENHANCE = """\
  enhance:
    - {kind: phrase, language: tr, chance: 0.5, phrases: ["Hadi bakalım!", "Süper!"]}
    - {kind: emoji, emoji: ["🎯"], where: end}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "base").mkdir()
    (tmp_path / "Justfile").touch()
    put(tmp_path, ROWS)
    project = Project(tmp_path)
    project.write(RECIPE)
    return project


def put(root: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (root / "rows.jsonl").write_text(text, encoding="utf-8")


def assembled(project: Project, enhance: str = ENHANCE) -> dict[str, dict[str, Any]]:
    """Question → the row of the data set, of either split."""
    project.write(RECIPE + enhance)
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    rows = [
        json.loads(line)
        for split in ("train", "valid")
        for line in (project.root / f"builds/enhanced/v1/dataset/{split}.jsonl")
        .read_text("utf-8")
        .splitlines()
    ]
    return {row["messages"][0]["content"]: row for row in rows}


def test_rows_say_what_they_got_and_others_have_no_such_field(project: Project) -> None:
    rows = assembled(project)
    assert rows["question 1"]["messages"][1]["content"] == "Done. 🎯"
    assert rows["question 1"]["enhanced"] == [
        {"kind": "emoji", "where": "end", "turn": 1, "text": "🎯"}
    ]
    phrases = [
        one["text"] for row in rows.values() for one in row["enhanced"] if one["kind"] == "phrase"
    ]
    assert set(phrases) == {"Hadi bakalım!", "Süper!"} and 4 < len(phrases) < 16
    assert not any("enhanced" in row for row in assembled(project, "").values())


def test_without_it_the_step_is_the_same_as_before_there_was_any(project: Project) -> None:
    assembled(project, "")
    project.write(RECIPE + "  enhance: []\n")
    assert project.run(*UNTIL).ran == []


def test_a_row_gets_the_same_whatever_else_is_in_the_set(project: Project) -> None:
    before = assembled(project)
    put(project.root, list(reversed(ROWS[3:])) + [{**ROWS[0], "user": "yeni"}])
    after = assembled(project)
    assert len(after) == len(ROWS) - 2
    assert all(after[asked] == before[asked] for asked in after.keys() & before.keys())


def test_rows_that_were_enhanced_and_taken_in_again_stay_as_they_are(project: Project) -> None:
    once = assembled(project)
    back = [
        {**row, "assistant": once[row["user"]]["messages"][1]["content"]}
        for row in json.loads(json.dumps(ROWS))
    ]
    put(project.root, back)
    twice = assembled(project)
    assert {asked: row["messages"] for asked, row in twice.items()} == {
        asked: row["messages"] for asked, row in once.items()
    }


def test_the_words_of_a_level_hold_while_they_are_a_rule(project: Project) -> None:
    levels = "complexity: {low: {iterations: [1, 2], words: [1, 2], seconds: 5}}\n"
    rows = assembled(project, ENHANCE + levels)
    assert rows["soru 1"]["messages"][1]["content"] == "Oldu bile."
    assert rows["question 1"]["messages"][1]["content"] == "Done. 🎯"
    free = "  validate: {words: false}\n" + ENHANCE + levels
    assert assembled(project, free)["soru 1"]["messages"][1]["content"].endswith("Oldu bile. 🎯")


def test_the_build_tells_how_many_got_something_and_how_many_had_no_room(project: Project) -> None:
    levels = "complexity: {low: {iterations: [1, 2], words: [1, 2], seconds: 5}}\n"
    project.write(RECIPE + '  enhance: [{kind: emoji, emoji: ["🎯"]}]\n' + levels)
    out = project.run(*UNTIL).out
    assert re.search(r"assemble .*5 enhanced, 20 additions had no room", out), out


def test_an_edit_is_named_with_its_line_and_runs_from_the_data_set_on(tmp_path: Path) -> None:
    with Teacher() as teacher:
        project = Project.asking(
            tmp_path,
            teacher.url,
            RECIPE.replace("teachers: {curated: {kind: curated, files: [rows.jsonl]}}",
                           "teachers: {claude: {kind: anthropic, model: claude-haiku-5-5}}")
            .replace("{teacher: curated, count: all}",
                     "{teacher: claude, count: 6, prompt: ask.j2, languages: {en: 1},"
                     " complexity: {low: 1}}")
            + ENHANCE,
            ask="A line, number {{ ordinal }}.\n",
        )  # fmt: skip
        assert project.run(*UNTIL).code == 0
        paid = teacher.count
        text = (project.root / "recipe.yaml").read_text("utf-8")
        project.write(text.replace('["🎯"]', '["🚀"]'))
        plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
        (entry,) = [e for e in plan["steps"] if e["decision"] == "run" and e["changes"]]
        line = next(n for n, one in enumerate(text.splitlines(), 1) if "kind: emoji" in one)
        assert entry["step"] == "assemble"
        assert [(c["field"], c["where"]) for c in entry["changes"]] == [
            ("dataset.enhance", f"recipe.yaml:{line}")
        ]
        done = project.run(*UNTIL)
        assert done.ran == ["assemble"] and teacher.count == paid


def test_bounds_of_words_count_only_where_something_is_put_in(project: Project) -> None:
    levels = "complexity: {low: {iterations: [1, 2], words: [1, 40], seconds: 5}}\n"
    for enhance, most, anew in (("", "41", []), (ENHANCE, "42", ["assemble"])):
        assembled(project, enhance + levels)
        project.write(RECIPE + enhance + levels.replace("40", most))
        plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
        assert project.run(*UNTIL).ran == ["validate", *anew]
        told = {c["field"] for entry in plan["steps"] for c in entry["changes"]}
        assert told == {"complexity.low.words"}


def test_show_says_which_enhancer_put_what_where(project: Project) -> None:
    assembled(project)
    done = project.run("show", "rows.jsonl:21", "--json")
    item = published.read(done.out, "show")
    assert item["messages"][1]["content"] == "Done.", "as it was given"
    (holder,) = item["held_by"]
    assert holder["enhanced"] == [{"kind": "emoji", "where": "end", "turn": 1, "text": "🎯"}]
    text = project.run("show", "rows.jsonl:21").out
    assert re.search(r"^  emoji +'🎯' was put at the end of turn 2$", text, re.M), text


def test_an_export_holds_what_is_trained_on(project: Project) -> None:
    assembled(project)
    done = project.run("export", "recipe.yaml", "--format", "chat", "-o", "out")
    assert done.code == 0, done.err
    lines = [*(project.root / "out/train.jsonl").read_text("utf-8").splitlines()]
    assert all(json.loads(line)["messages"][1]["content"].endswith(" 🎯") for line in lines)

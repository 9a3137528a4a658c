"""`dataset.marker` stands before each answer that is trained on, and before nothing else."""

import json
from pathlib import Path

import pytest

from tests.steps.project import Project

ROWS = [
    {"user": "naber", "assistant": "İyi!", "language": "tr", "complexity": "low"},
    {"user": "hey", "assistant": "Hey!", "language": "en", "iterations": 2},
    {
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "2"},
        ],
        "language": "en",
        "complexity": "medium",
    },
]
RECIPE = """\
recipe: 1
name: marked
version: v1
base: {model: "path:base"}
teachers: {curated: {kind: curated, files: [rows.jsonl]}}
categories: {smalltalk: {teacher: curated, count: all}}
dataset: {split: {train: 1, valid: 0}, validate: {words: false}, marker: none}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "base").mkdir()
    (tmp_path / "Justfile").touch()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    project = Project(tmp_path)
    project.write(RECIPE)
    return project


def assembled(project: Project, marker: str) -> dict[str, list[str]]:
    """Question → what was said afterwards, question and answer in turn."""
    project.write(RECIPE.replace("marker: none", f"marker: {json.dumps(marker)}"))
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0, done.out + done.err
    lines = (project.root / "builds/marked/v1/dataset/train.jsonl").read_text("utf-8").splitlines()
    rows = [[m["content"] for m in json.loads(line)["messages"]] for line in lines]
    return {first: rest for first, *rest in rows}


def test_each_answer_says_its_iterations_first(project: Project) -> None:
    assert assembled(project, "[{{ iterations }}] ") == {
        # Its level says 1-2, its own number is 2, its level says 3-5.
        "naber": ["[1-2] İyi!"],
        "hey": ["[2] Hey!"],
        "one": ["[3-5] 1", "two", "[3-5] 2"],
    }


def test_a_marker_may_end_its_line_and_choose_its_words(project: Project) -> None:
    text = "{% if language == 'tr' %}düşün{% else %}think{% endif %} {{ category }}\n\n"
    rows = assembled(project, text)
    assert rows["naber"] == ["düşün smalltalk\n\nİyi!"]
    assert rows["hey"] == ["think smalltalk\n\nHey!"]


def test_no_marker_is_the_same_step_as_before_there_were_any(project: Project) -> None:
    plain = assembled(project, "none")
    assert plain["hey"] == ["Hey!"]
    project.write(RECIPE.replace(", marker: none", ""))
    assert project.run("build", "recipe.yaml", "--until", "assemble").ran == []


def test_bounds_of_a_level_count_only_where_the_marker_reads_them(project: Project) -> None:
    levels = "complexity:\n  low: {iterations: [1, 2], words: [1, 9], seconds: 5}\n"
    levels += "  medium: {iterations: [3, 5], words: [1, 9], seconds: 5}\n"
    for marker, anew in (("[{{ language }}] ", []), ("[{{ iterations }}] ", ["assemble"])):
        text = RECIPE.replace("marker: none", f"marker: {json.dumps(marker)}") + levels
        project.write(text)
        assert project.run("build", "recipe.yaml", "--until", "assemble").code == 0
        project.write(text.replace("[3, 5]", "[2, 5]"))
        ran = project.run("build", "recipe.yaml", "--until", "assemble").ran
        assert [step for step in ran if step == "assemble"] == anew

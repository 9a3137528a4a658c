"""Answers that are written iteration by iteration, or in named parts."""

import json
from pathlib import Path
from typing import Any

from tests.loopback import messages_api
from tests.loopback.messages_api import said
from tests.loopback.server import Seen, Step
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: parts
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 1}
categories:
  deep:
    teacher: claude
    count: 8
    prompt: ask.j2
    languages: {en: 1}
    complexity: {high: 1}
    answer: iterations
dataset: {validate: {duplicates: false, words: false, give_aways: false}}
train: {steps: 1}
"""
ASK = "In {{ parts | length }} ({{ parts | join(' ') }}), number {{ ordinal }}."
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


class Writing(messages_api.MessagesServer):
    """Fills every part that the schema asks for; those it lacks are left out."""

    lacks = ""

    def usual(self, seen: Seen) -> Step:
        names = seen.body["output_config"]["format"]["schema"]["required"]
        return said(json.dumps({n: f"The {n}." for n in names if n != self.lacks}))


def make(root: Path, server: messages_api.MessagesServer) -> Project:
    return Project.asking(root, server.url, RECIPE, ask=ASK)


def rows(project: Project) -> list[dict[str, Any]]:
    files = (project.root / "builds/parts/v1/dataset").glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_each_row_has_as_many_iterations_as_its_level_allows_in_turn(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    made = rows(project)
    answers = [row["messages"][-1]["content"].split("\n\n") for row in made]
    assert sorted(map(len, answers)) == [6, 6, 7, 7, 8, 8, 9, 9]
    for parts in answers:
        assert parts == [f"The iteration_{n}." for n in range(1, len(parts) + 1)]
    for seen in server.seen:
        names = seen.body["output_config"]["format"]["schema"]["required"]
        asked = seen.body["messages"][-1]["content"]
        assert f"In {len(names) - 1} ({' '.join(names[1:])})" in asked


def test_more_rows_keep_those_there_are(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
        project.edit("count: 8", "count: 11")
        assert project.run(*UNTIL).code == 0
        assert server.count == 11


def test_named_parts_are_paragraphs_and_count_as_iterations(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        project.edit("answer: iterations", "answer: [perch, listen, turn, flight]")
        project.edit("{high: 1}", "{medium: 1}")
        done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    shown = json.loads(project.run("show", "deep/deep/en/medium/0", "--json").out)
    assert shown["iterations"] == 4
    (answer,) = {row["messages"][-1]["content"] for row in rows(project)}
    assert answer == "The perch.\n\nThe listen.\n\nThe turn.\n\nThe flight."


def test_an_answer_without_one_of_its_parts_goes_back_with_its_name(tmp_path: Path) -> None:
    class Forgetting(Writing):
        def usual(self, seen: Seen) -> Step:
            self.lacks = "iteration_3" if self.count == 1 else ""
            return super().usual(seen)

    with Forgetting() as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
    assert done.code == 0 and server.count == 9, done.out + done.err
    assert "'iteration_3': Field required" in server.seen[1].body["messages"][-1]["content"]


def test_a_preview_shows_the_parts_and_a_built_row_tells_them(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        shown = json.loads(project.run("preview", "recipe.yaml", "--json", "-n", "4").out)
        assert project.run(*UNTIL).code == 0
    shapes = {prompt["answer_shape"] for prompt in shown["categories"][0]["prompts"]}
    assert len(shapes) > 1 and all("iteration_6" in shape for shape in shapes), shapes
    row = json.loads(project.run("show", "deep/deep/en/high/0", "--json").out)
    assert row["iterations"] in (6, 7, 8, 9)


def test_another_number_of_parts_asks_again(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
        project.edit("answer: iterations", "answer: [a, b, c, d, e, f]")
        told = project.run("plan", "recipe.yaml").out
        assert "categories.deep.answer" in told, told
        assert project.run(*UNTIL).code == 0
        assert server.count == 16

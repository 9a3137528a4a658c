"""Conversations of several turns, from a loopback teacher that keeps to the schema it is sent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.loopback.server import Seen, Step
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: talks
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5}
categories:
  talk:
    teacher: claude
    count: 7
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    turns: {min: 2, max: 4}
    topics: [{name: short, count: 2, turns: 1}, {name: long, count: 5}]
dataset: {split: {train: 1, valid: 0}, validate: {duplicates: false}}
"""


class Teacher(messages_api.MessagesServer):
    def usual(self, seen: Seen) -> Step:
        names = seen.body["output_config"]["format"]["schema"]["properties"]
        asked = seen.body["messages"][-1]["content"]
        texts = {name: f"{name}: {asked}, {self.count}" for name in names}
        return messages_api.said(json.dumps(texts), seen.body["model"])


@pytest.fixture
def server() -> Iterator[Teacher]:
    with Teacher() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, server: Teacher) -> Project:
    (tmp_path / "base").mkdir()
    (tmp_path / "Justfile").touch()
    (tmp_path / "ask.j2").write_text("{{ turns }} about {{ topic.name }}")
    env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
    project = Project(tmp_path, env)
    project.write(RECIPE)
    return project


def rows(project: Project) -> list[list[dict[str, str]]]:
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0, done.out + done.err
    lines = (project.root / "builds/talks/v1/dataset/train.jsonl").read_text().splitlines()
    return [json.loads(line)["messages"] for line in lines]


def test_each_row_has_the_turns_that_its_prompt_spoke_of(project: Project) -> None:
    made = rows(project)
    assert sorted(len(messages) // 2 for messages in made) == [1, 1, 2, 2, 3, 3, 4]
    for messages in made:
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        pairs = len(messages) // 2
        topic = "short" if pairs == 1 else "long"
        assert all(f": {pairs} about {topic}, " in message["content"] for message in messages)


def test_more_rows_leave_the_turns_of_the_others_alone(project: Project, server: Teacher) -> None:
    rows(project)
    before = server.count
    project.edit("count: 7", "count: 9")
    project.edit("{name: long, count: 5}", "{name: long, count: 7}")
    made = rows(project)
    assert server.count - before == 2
    assert sorted(len(messages) // 2 for messages in made) == [1, 1, 2, 2, 2, 3, 3, 4, 4]

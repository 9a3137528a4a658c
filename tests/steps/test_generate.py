"""Answers are paid for once: counted at a loopback Messages API behind the real SDK."""

import shutil
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: asked
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  talk:
    teacher: claude
    count: 20
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 10, thanks: 10}
  deep: {teacher: claude, count: 6, prompt: deep.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


@pytest.fixture
def project(tmp_path: Path, server: messages_api.MessagesServer) -> Project:
    return Project.asking(
        tmp_path,
        server.url,
        RECIPE,
        ask="A line about {{ topic.name }}, number {{ ordinal }}.",
        deep="Something deep, number {{ ordinal }}.",
    )


def asks(project: Project, server: messages_api.MessagesServer) -> int:
    before = server.count
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    return server.count - before


def test_every_answer_is_paid_for_once(
    project: Project, server: messages_api.MessagesServer
) -> None:
    assert asks(project, server) == 26
    assert asks(project, server) == 0
    project.edit("count: 20", "count: 30")
    project.edit("{greetings: 10, thanks: 10}", "{greetings: 15, thanks: 15}")
    assert asks(project, server) == 10
    project.edit("count: 30", "count: 20")
    project.edit("{greetings: 15, thanks: 15}", "{greetings: 10, thanks: 10}")
    assert asks(project, server) == 0
    project.edit("count: 20", "count: 24")
    project.edit("{greetings: 10, thanks: 10}", "{greetings: 10, thanks: 10, wishes: 4}")
    assert asks(project, server) == 4
    (project.root / "deep.j2").write_text("Something deeper, number {{ ordinal }}.")
    assert asks(project, server) == 6
    (project.root / "deep.j2").write_text("{# a note #}Something deeper, number {{ ordinal }}.")
    assert asks(project, server) == 0
    (project.root / "deep.j2").write_text("Something deep, number {{ ordinal }}.")
    assert asks(project, server) == 0


def test_rows_name_their_teacher_as_the_recipe_does(
    project: Project, server: messages_api.MessagesServer
) -> None:
    """A build from nothing could say nothing else, so neither may one that remembers."""
    assert asks(project, server) == 26
    project.edit("claude: {kind", "ai: {kind")
    project.edit("teacher: claude\n", "teacher: ai\n")
    project.edit("{teacher: claude,", "{teacher: ai,")
    assert asks(project, server) == 0
    renamed = (project.root / "recipe.lock.yaml").read_bytes()
    shutil.rmtree(project.root / ".jessy")
    assert asks(project, server) == 26
    assert (project.root / "recipe.lock.yaml").read_bytes() == renamed


@pytest.mark.parametrize(
    "text", ["half \ud83d", "half \\ud83d"], ids=["in the answer", "as an escape in it"]
)
def test_for_half_a_character_another_answer_is_asked(text: str, tmp_path: Path) -> None:
    cut = messages_api.said(f'{{"user": "a", "assistant": "{text}"}}')
    with messages_api.MessagesServer(cut) as server:
        templates = {"ask": "A line, number {{ ordinal }}.", "deep": "Deep, number {{ ordinal }}."}
        project = Project.asking(tmp_path, server.url, RECIPE, **templates)
        project.edit("topics: {greetings: 10, thanks: 10}", "")
        assert asks(project, server) == 27
        assert asks(project, server) == 0


def test_the_plan_says_how_many_are_to_be_asked(
    project: Project, server: messages_api.MessagesServer
) -> None:
    plan = project.run("plan", "recipe.yaml").out
    assert "20 items from 20 prompts: 20 to ask, 0 answered before" in plan
    assert "tokens unknown · dollars unknown (the teacher has no `prices`) · time unknown" in plan
    asks(project, server)
    project.edit("count: 20", "count: 22")
    project.edit("{greetings: 10, thanks: 10}", "{greetings: 12, thanks: 10}")
    plan = project.run("plan", "recipe.yaml").out
    assert "22 items from 22 prompts: 2 to ask, 20 answered before" in plan
    # 26 answers told the teacher's usual: 11 tokens in and 7 out.
    assert "≈ 22 tokens in, 14 out" in plan and "time unknown" not in plan.partition("validate")[0]


def test_answers_before_a_failure_are_kept(project: Project) -> None:
    project.edit("concurrency: 4", "concurrency: 1")
    example = messages_api.said('{"user": "hi", "assistant": "hello"}')
    script = [*(example for _ in range(5)), messages_api.spent()]
    with messages_api.MessagesServer(*script) as server:
        project.env = {**project.env, "ANTHROPIC_BASE_URL": server.url}
        failed = project.run(*UNTIL)
        assert failed.code == 1
        assert "sk-ant-test" not in failed.out + failed.err
        answered = server.count - 1
        assert answered >= 5
        assert asks(project, server) == 26 - answered


def test_the_key_is_written_nowhere(project: Project, server: messages_api.MessagesServer) -> None:
    asks(project, server)
    for file in project.root.rglob("*"):
        if file.is_file():
            assert b"sk-ant-test" not in file.read_bytes(), file

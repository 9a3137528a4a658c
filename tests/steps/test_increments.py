"""Only what is new is asked, whatever is edited: counted at a loopback Messages API."""

import re
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.steps.project import Project, Ran

RECIPE = """\
recipe: 1
name: grown
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  talk:
    teacher: claude
    count: 20
    prompt: talk.j2
    languages: {tr: 0.5, en: 0.5}
    complexity: {low: 0.6, medium: 0.4}
    topics: [greetings, thanks]
  deep:
    teacher: claude
    count: 10
    prompt: deep.j2
    languages: {tr: 0.5, en: 0.3, mixed: 0.2}
    complexity: {medium: 0.5, high: 0.5}
    topics: {mind: 4, time: 6}
dataset: {validate: {duplicates: false, words: false}}
train: {steps: 1}
"""


@pytest.fixture
def project(tmp_path: Path, server: messages_api.MessagesServer) -> Project:
    text = "About {{ topic.name }} in {{ language }}, {{ complexity }}."
    return Project.asking(
        tmp_path,
        server.url,
        RECIPE,
        talk=f"Small talk. {text}",
        deep=f"Depth. {text} Number {{{{ ordinal }}}}.",
    )


@pytest.fixture
def asks(project: Project, server: messages_api.MessagesServer) -> "Asks":
    asks = Asks(project, server)
    assert asks() == 30
    return asks


class Asks:
    """Builds up to the data set; returns how many requests that took."""

    def __init__(self, project: Project, server: messages_api.MessagesServer) -> None:
        self.project = project
        self.server = server
        self.last = Ran(0, "", "")

    def __call__(self) -> int:
        before = self.server.count
        self.last = self.project.run("build", "recipe.yaml", "--until", "assemble")
        assert self.last.code == 0, self.last.out + self.last.err
        return self.server.count - before


def test_a_raised_count_asks_the_difference_and_a_lowered_one_nothing(
    project: Project, asks: Asks
) -> None:
    project.edit("count: 20", "count: 30")
    assert asks() == 10
    project.edit("count: 30", "count: 20")
    assert asks() == 0
    assert asks.last.ran == [], "the same recipe as at first: nothing runs"


def test_many_small_raises_ask_in_sum_what_one_large_one_asks(project: Project, asks: Asks) -> None:
    asked = 0
    for count in range(21, 41):
        project.edit(f"count: {count - 1}\n", f"count: {count}\n")
        asked += asks()
    # 20 new rows. While quotas are no whole numbers a row may have to change its place once.
    assert 20 <= asked <= 26


def test_a_new_topic_asks_only_its_own_rows(project: Project, asks: Asks) -> None:
    project.edit("count: 10\n", "count: 20\n")
    project.edit("{mind: 4, time: 6}", "{death: 10, mind: 4, time: 6}")
    assert asks() == 10
    topics = [seen.body["messages"][-1]["content"] for seen in asks.server.seen[-10:]]
    assert all("About death" in topic for topic in topics)


def test_one_template_asks_only_its_own_category(project: Project, asks: Asks) -> None:
    (project.root / "talk.j2").write_text(
        "Small talk! {{ topic.name }}, {{ language }}, {{ complexity }}."
    )
    assert asks() == 20
    assert asks.last.ran[0] == "generate:talk" and "generate:deep" not in asks.last.ran


def test_order_comments_and_formatting_ask_nothing(project: Project, asks: Asks) -> None:
    text = (project.root / "recipe.yaml").read_text()
    head, talk, deep, tail = re.split(r"(?m)^(?=  talk:|  deep:|dataset:)", text)
    project.write(f"# a comment\n{head}{deep}{talk}{tail}")
    assert asks() == 0
    project.edit("languages: {tr: 0.5, en: 0.5}", "languages: {en: 0.5, tr: 0.5}  # turned")
    project.edit("{mind: 4, time: 6}", "{time: 6, mind: 4}")
    project.edit("topics: [greetings, thanks]", "topics: [thanks, greetings]")
    project.edit("{medium: 0.5, high: 0.5}", "{high: 0.5, medium: 0.5}")
    assert asks() == 0
    assert not any(step.startswith("generate") for step in asks.last.ran)


def test_going_back_and_forth_asks_nothing_and_runs_nothing(project: Project, asks: Asks) -> None:
    one = (project.root / "talk.j2").read_text()
    (project.root / "talk.j2").write_text(one + " Be short.")
    assert asks() == 20
    (project.root / "talk.j2").write_text(one)
    assert asks() == 0 and asks.last.ran == []
    (project.root / "talk.j2").write_text(one + " Be short.")
    assert asks() == 0 and asks.last.ran == []


def test_cells_that_ask_the_very_same_never_share_an_answer(
    project: Project, server: messages_api.MessagesServer
) -> None:
    """The level is read, and makes no difference: two levels ask one question. Each answer is
    still paid for by itself, and none is used twice."""
    same = "{{ 'About' if complexity else 'Of' }} {{ topic.name }} in {{ language }}."
    (project.root / "talk.j2").write_text(same)
    assert Asks(project, server)() == 30

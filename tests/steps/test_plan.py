"""A plan says what will happen and what it takes; a saved one is built as it was read, or not."""

import json
import re
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.loopback.messages_api import error, said
from tests.loopback.server import Seen, Step
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: planned
version: v1
base: {model: "path:base"}
persona: {name: JESSY, system: system.j2}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    max_tokens: 100
    prices: {input: 1.0, output: 5.0, as_of: 2026-11-01}
categories:
  talk:
    teacher: claude
    count: 12
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 6, thanks: 6}
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
        system="You are {{ persona.name }}.\nBe brief.\n",
        ask="Write one line.\nAbout {{ topic.name }}.\nBe kind.\n",
    )


def plan_of(project: Project, *words: str) -> str:
    done = project.run("plan", "recipe.yaml", *words)
    assert done.code == 0, done.out + done.err
    return done.out


def entry(project: Project, step: str, *words: str) -> dict[str, object]:
    document = json.loads(plan_of(project, "--json", *words))
    found: dict[str, object] = next(e for e in document["steps"] if e["step"] == step)
    return found


def test_before_the_first_build_what_is_not_known_is_said_to_be_unknown(project: Project) -> None:
    plan = plan_of(project)
    assert "12 items from 2 prompts: expect repeats: 12 to ask, 0 answered before" in plan
    assert "tokens unknown" in plan and "time unknown" in plan
    estimate = entry(project, "generate:talk")["estimate"]
    assert isinstance(estimate, dict)
    assert estimate["dollars"] is None and estimate["seconds"] is None
    assert entry(project, "train")["estimate"]["memory"] is None  # type: ignore[index]


def test_the_upper_limit_of_the_bill_holds_without_any_history(project: Project) -> None:
    estimate = entry(project, "generate:talk")["estimate"]
    assert isinstance(estimate, dict)
    system = "You are JESSY.\nBe brief."
    prompts = [
        "Write one line.\nAbout greetings.\nBe kind.",
        "Write one line.\nAbout thanks.\nBe kind.",
    ]
    read = 6 * sum(len(f"{prompt}{system}".encode()) for prompt in prompts)
    # Each byte may be a token; names, schema and what a server adds come on top. Three tries, each
    # with a correction, to which the answer is sent back.
    back = 12 * 100
    least = 3 * (2 * (read * 1 + 12 * 100 * 5) + back) / 1e6
    around = 3 * 12 * 5_000 / 1e6
    assert least < float(str(estimate["dollars_at_most"])) < least + around


def test_after_a_build_tokens_and_dollars_come_from_what_was_really_used(
    project: Project,
) -> None:
    assert project.run(*UNTIL).code == 0
    project.edit("count: 12", "count: 20")
    project.edit("{greetings: 6, thanks: 6}", "{greetings: 10, thanks: 10}")
    estimate = entry(project, "generate:talk")["estimate"]
    assert isinstance(estimate, dict)
    assert (estimate["items"], estimate["to_ask"], estimate["prompts"]) == (20, 8, 2)
    # The loopback server bills 11 tokens in and 7 out.
    assert (estimate["input_tokens"], estimate["output_tokens"]) == (88, 56)
    assert estimate["dollars"] == pytest.approx((88 * 1 + 56 * 5) / 1e6)
    assert estimate["seconds"] is not None and estimate["basis"] == "12 answers of claude-haiku-5-5"


def test_a_changed_count_names_field_values_and_line(project: Project) -> None:
    project.run(*UNTIL)
    project.edit("count: 12", "count: 14")
    project.edit("{greetings: 6, thanks: 6}", "{greetings: 8, thanks: 6}")
    plan = plan_of(project)
    assert re.search(r"categories\.talk\.count: 12 → 14 +recipe\.yaml:15", plan), plan
    assert re.search(r"categories\.talk\.topics\.greetings: 6 → 8 +recipe\.yaml:19", plan), plan
    assert re.search(r"may run +validate +if the output of generate:talk changes", plan), plan


def test_a_changed_template_shows_its_changed_lines(project: Project) -> None:
    project.run(*UNTIL)
    (project.root / "ask.j2").write_text("Write one line.\nOn {{ topic.name }}.\nBe kind.\n")
    plan = plan_of(project)
    assert "categories.talk.prompt:" in plan
    assert "- About {{ topic.name }}." in plan and "+ On {{ topic.name }}." in plan
    assert "Be kind." in plan and "persona.system" not in plan


def test_a_changed_system_text_is_told_at_every_step_that_reads_it(project: Project) -> None:
    project.run(*UNTIL)
    (project.root / "system.j2").write_text("You are {{ persona.name }}.\nBe very brief.\n")
    document = json.loads(plan_of(project, "--json"))
    told = [e["step"] for e in document["steps"] if "persona.system" in e["because"]]
    assert told == ["generate:talk", "assemble"], "the system text stands in every training row"
    project.run(*UNTIL)
    assert "generate:talk" not in plan_of(project)


def test_a_saved_plan_is_built_as_it_was_read(
    project: Project, server: messages_api.MessagesServer
) -> None:
    project.edit("train: {steps: 1}", "train: {steps: 1, seed: 3}")
    words = ("--set", "dataset.seed=7", "--until", "assemble")
    assert project.run("plan", "recipe.yaml", *words, "-o", "p.json").code == 0
    done = project.run("build", "--plan", "p.json")
    assert done.code == 0, done.out + done.err
    assert done.ran == ["generate:talk", "validate", "assemble"] and server.count == 12


def test_a_saved_plan_takes_no_other_options(project: Project) -> None:
    plan_of(project, "-o", "p.json")
    done = project.run("build", "--plan", "p.json", "--until", "assemble")
    assert done.code == 2 and "brings its recipe and its options along" in done.err
    assert project.run("build").code == 2


def test_a_stale_plan_is_refused_and_says_what_changed(
    project: Project, server: messages_api.MessagesServer
) -> None:
    assert "jessy build --plan p.json" in plan_of(project, "-o", "p.json").replace("just", "jessy")
    project.edit("claude-haiku-5-5", "claude-sonnet-5-5")
    project.edit("steps: 1", "steps: 2")
    done = project.run("build", "--plan", "p.json")
    assert done.code == 2
    assert "p.json is stale" in done.err
    model = r"teachers\.claude\.model: claude-haiku-5-5 → claude-sonnet-5-5 +recipe\.yaml:9"
    assert re.search(model, done.err), done.err
    assert re.search(r"train\.steps: 1 → 2 +recipe\.yaml:21", done.err), done.err
    assert server.count == 0


def test_a_plan_is_stale_when_something_was_built_meanwhile(project: Project) -> None:
    plan_of(project, "-o", "p.json")
    project.run(*UNTIL)
    done = project.run("build", "--plan", "p.json")
    assert done.code == 2 and "generate:talk: was to run, is cached now" in done.err


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 9}', "\x00"])
def test_what_is_no_plan_is_refused(project: Project, content: str) -> None:
    (project.root / "p.json").write_text(content)
    done = project.run("build", "--plan", "p.json")
    assert done.code == 1 and "holds no plan of this version" in done.err
    assert "Traceback" not in done.err


def test_a_step_whose_own_fields_changed_surely_runs_whatever_its_inputs_become(
    project: Project,
) -> None:
    project.run(*UNTIL)
    project.edit("topics: {greetings: 6, thanks: 6}", "topics: {greetings: 5, thanks: 7}")
    project.edit("{validate: {duplicates: false}}", "{seed: 7, validate: {duplicates: false}}")
    plan = plan_of(project, "--until", "assemble")
    assert re.search(r"may run +validate +if the output of generate:talk changes", plan), plan
    assert re.search(r"run +assemble +dataset\.seed changed", plan), plan
    assert re.search(r"dataset\.seed: 42 → 7 +recipe\.yaml:20", plan), plan
    done = project.run(*UNTIL)
    assert done.ran == ["generate:talk", "validate", "assemble"]


def test_tries_that_failed_before_are_not_counted_once_more(tmp_path: Path) -> None:
    class Teacher(messages_api.MessagesServer):
        """Says nothing of use about thanks, and then fails for good."""

        def usual(self, seen: Seen) -> Step:
            asked = seen.body["messages"][-1]["content"]
            if "thanks" not in asked and "cannot be used" not in asked:
                return super().usual(seen)
            return said("no") if self.count <= 8 or self.patient else error(400, "bad", "no more")

        patient = False

    def make(name: str, url: str, recipe: str) -> Project:
        (tmp_path / name).mkdir()
        ask = "Write one line.\nAbout {{ topic.name }}.\nBe kind.\n"
        recipe = recipe.replace("max_tokens: 100", "max_tokens: 100\n    concurrency: 1")
        return Project.asking(tmp_path / name, url, recipe, system="You are JESSY.\n", ask=ask)

    with Teacher() as server:
        few = RECIPE.replace("count: 12", "count: 6")
        few = few.replace("{greetings: 6, thanks: 6}", "[thanks]")
        untried = entry(make("few", server.url, few), "generate:talk")["estimate"]
        project = make("tried", server.url, RECIPE)
        assert project.run(*UNTIL).code == 1
        assert server.count == 9, "six are good, one answer and its correction are of no use"
        tried = entry(project, "generate:talk")["estimate"]
        assert isinstance(untried, dict) and isinstance(tried, dict)
        assert (untried["to_ask"], tried["to_ask"]) == (6, 6)
        assert tried["dollars_at_most"] == pytest.approx(untried["dollars_at_most"] * 17 / 18)
        server.patient = True
        assert project.run(*UNTIL).code == 1
        spent = entry(project, "generate:talk")["estimate"]
        assert isinstance(spent, dict) and (spent["to_ask"], spent["dollars_at_most"]) == (0, 0)
        count = server.count
        assert project.run(*UNTIL).code == 1 and server.count == count

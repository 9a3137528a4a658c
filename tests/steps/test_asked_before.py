"""`asked` in a prompt: its teacher is shown what was asked in the cell, round after round."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests import warm
from tests.loopback import messages_api
from tests.loopback.batches_api import BatchesServer
from tests.loopback.messages_api import said
from tests.loopback.server import Drop, Seen, Step
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: rounds
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  talk:
    teacher: claude
    count: 12
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {tea: 6, rain: 6}
    round: 2
dataset: {validate: {duplicates: false, give_aways: false}}
train: {steps: 1}
"""
ASK = """\
About {{ topic.name }}, number {{ ordinal }}.
{% for question in asked %}
Not: {{ question }}.
{% endfor %}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


class Teacher(messages_api.MessagesServer):
    def usual(self, seen: Seen) -> Step:
        topic, number, _ = about(seen.body["messages"][0]["content"])
        return said(json.dumps({"user": f"{topic}-{number}", "assistant": "b"}))


def about(prompt: str) -> tuple[str, int, list[str]]:
    """Topic, number, and the questions that are shown."""
    topic, number = re.findall(r"About (\w+), number (\d+)", prompt)[0]
    return topic, int(number), re.findall(r"Not: (\S+)\.", prompt)


def make(root: Path, server: messages_api.MessagesServer) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    return Project.asking(root, server.url, RECIPE, ask=ASK)


def shown(server: messages_api.MessagesServer) -> dict[tuple[str, int], list[str]]:
    """What each item was shown; two requests for one must agree."""
    found: dict[tuple[str, int], list[str]] = {}
    for seen in server.seen:
        # A kill may have cut a request off.
        if seen.path == "/v1/messages" and seen.body:
            topic, number, questions = about(seen.body["messages"][0]["content"])
            assert found.setdefault((topic, number), questions) == questions
    return found


def expected(rows: int = 6, size: int = 2) -> dict[tuple[str, int], list[str]]:
    return {
        (topic, number): [f"{topic}-{n}" for n in range(number - number % size)]
        for topic in ("tea", "rain")
        for number in range(rows)
    }


def dataset(project: Project) -> dict[str, bytes]:
    files = (project.root / "builds/rounds/v1/dataset").glob("*.jsonl")
    return {file.name: file.read_bytes() for file in files}


def test_a_round_is_shown_all_questions_of_the_rounds_before_it_in_its_cell(
    tmp_path: Path,
) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
        assert shown(server) == expected() and server.count == 12
        assert "Nothing to do" in project.run(*UNTIL).out
        assert server.count == 12
    item = json.loads(project.run("show", "talk/tea/en/low/3", "--json").out)
    assert item["asked"]["shown"] == ["tea-0", "tea-1"]
    told = project.run("show", "talk/tea/en/low/3").out
    assert "2 earlier questions were shown" in told and "tea-1" in told, told


def test_more_rows_are_shown_the_old_ones_and_ask_nothing_again(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
        project.edit("count: 12", "count: 16")
        project.edit("{tea: 6, rain: 6}", "{tea: 8, rain: 8}")
        assert project.run(*UNTIL).code == 0
        assert server.count == 16 and shown(server) == expected(8)
        # Neither is another size of rounds, nor other words around them.
        project.edit("round: 2", "round: 4")
        (project.root / "ask.j2").write_text(ASK.replace("Not:", "Other than:"))
        assert project.run(*UNTIL).code == 0
        assert server.count == 16


def test_a_killed_build_goes_on_with_the_same_prompts_and_the_same_rows(tmp_path: Path) -> None:
    class Killing(Teacher):
        process: "subprocess.Popen[bytes] | warm.Started | None" = None

        def usual(self, seen: Seen) -> Step:
            if self.process is not None and self.count == 7:
                self.process.kill()
                self.process.wait()
                self.process = None
                return Drop()
            return super().usual(seen)

    with Killing() as server, Teacher() as calm:
        project, other = make(tmp_path / "a", server), make(tmp_path / "b", calm)
        server.process = project.begin(*UNTIL)
        server.process.wait(timeout=60)
        assert project.run(*UNTIL).code == 0 and other.run(*UNTIL).code == 0
        assert shown(server) == shown(calm) == expected()
        assert server.count <= 12 + 4
    assert dataset(project) == dataset(other)


def test_a_batch_goes_for_each_round(tmp_path: Path) -> None:
    class Batches(BatchesServer):
        pass

    with Batches() as server:
        server.text = lambda asked: json.dumps(
            {"user": "{}-{}".format(*about(asked)), "assistant": "b"}
        )
        project = make(tmp_path, server)
        project.edit("concurrency: 4", "batch: true")
        assert project.run(*UNTIL).code == 0
        sent = [
            [about(one["params"]["messages"][0]["content"]) for one in batch["requests"]]
            for batch in server.batches
        ]
        assert [len(some) for some in sent] == [4, 4, 4]
        assert {(t, n): q for some in sent for t, n, q in some} == expected()


def test_a_correction_hears_the_prompt_as_it_was_and_the_row_keeps_its_place(
    tmp_path: Path,
) -> None:
    class Stumbling(Teacher):
        def usual(self, seen: Seen) -> Step:
            topic, number, _ = about(seen.body["messages"][0]["content"])
            if (topic, number) == ("tea", 4) and len(seen.body["messages"]) == 1:
                return said('{"user": "tea-4"}')
            return super().usual(seen)

    with Stumbling() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
        assert server.count == 13 and shown(server) == expected()
        assert "Nothing to do" in project.run(*UNTIL).out


def test_a_preview_shows_what_will_be_shown_and_its_answers_count(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        asked = project.run("preview", "recipe.yaml", "-n", "6", "--ask", "--json")
        assert asked.code == 0, asked.err
        before = server.count
        prompts: list[dict[str, Any]] = json.loads(asked.out)["categories"][0]["prompts"]
        for prompt in prompts:
            topic, number, questions = about(prompt["messages"][-1]["content"])
            assert questions == expected()[topic, number]
        assert project.run(*UNTIL).code == 0
        assert server.count == 12 and before == 6
        assert shown(server) == expected()


def test_rounds_are_five_rows_where_the_recipe_says_no_number(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        project.edit("    round: 2\n", "")
        assert project.run(*UNTIL).code == 0
        assert shown(server) == expected(size=5)


def test_a_plan_knows_a_correction_of_a_prompt_that_showed_something(tmp_path: Path) -> None:
    class Mute(Teacher):
        def usual(self, seen: Seen) -> Step:
            topic, number, _ = about(seen.body["messages"][0]["content"])
            return said("No.") if (topic, number) == ("tea", 4) else super().usual(seen)

    with Mute() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 1
        steps = json.loads(project.run("plan", "recipe.yaml", "--json").out)["steps"]
        (talk,) = (step for step in steps if step["step"] == "generate:talk")
        assert talk["estimate"]["to_ask"] == 0, "it has had its tries, and a correction for each"


def test_a_plan_reckons_with_what_will_be_shown(tmp_path: Path) -> None:
    def at_most(project: Project) -> float:
        steps = json.loads(project.run("plan", "recipe.yaml", "--json").out)["steps"]
        (talk,) = (step for step in steps if step["step"] == "generate:talk")
        return float(talk["estimate"]["dollars_at_most"])

    with Teacher() as server:
        project = make(tmp_path, server)
        project.edit(
            "concurrency: 4", "concurrency: 4, prices: {input: 1, output: 5, as_of: 2026-11-01}"
        )
        in_rounds = at_most(project)
        project.edit("round: 2", "round: 6")
        assert in_rounds > at_most(project) > 0

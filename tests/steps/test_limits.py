"""How long an answer may become and may take: limits that are no part of a question."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import messages_api
from tests.loopback.batches_api import BatchesServer
from tests.loopback.messages_api import said
from tests.loopback.server import Seen, Slow, Step
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: limited
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 1, max_tokens: 200}
complexity:
  low: {iterations: [1, 2], words: [1, 40], seconds: 5}
  high: {iterations: [6, 9], words: [1, 600], seconds: 60}
categories:
  talk:
    teacher: claude
    count: 4
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 0.5, high: 0.5}
dataset: {validate: {duplicates: false, give_aways: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "validate")
GOOD = said(json.dumps({"user": "a", "assistant": "b"}))
CUT = said('{"user": "a", "assis', stop_reason="max_tokens")


class Talking(messages_api.MessagesServer):
    """Needs so many tokens for an answer at level high."""

    needs = 150

    def usual(self, seen: Seen) -> Step:
        deep = "level high" in str(seen.body["messages"])
        return CUT if deep and seen.body["max_tokens"] < self.needs else GOOD


def make(root: Path, server: messages_api.MessagesServer) -> Project:
    root.mkdir(exist_ok=True)
    return Project.asking(
        root, server.url, RECIPE, ask="At level {{ complexity }}, number {{ ordinal }}."
    )


def test_a_raised_limit_asks_again_only_for_what_was_cut_off(tmp_path: Path) -> None:
    with Talking() as server:
        project = make(tmp_path, server)
        project.edit("max_tokens: 200", "max_tokens: 100")
        first = project.run(*UNTIL)
        assert first.code == 1 and "2 of 4 items" in first.err, first.out + first.err
        assert server.count == 2 + 2 * 3
        again = project.run(*UNTIL)
        assert again.code == 1 and server.count == 8, "nothing else would come of it"
        project.edit("max_tokens: 100", "max_tokens: 200")
        raised = project.run(*UNTIL)
        assert raised.code == 0, raised.out + raised.err
        assert server.count == 8 + 2
        assert [seen.body["max_tokens"] for seen in server.seen[8:]] == [200, 200]
        assert "4 rows, 2 asked, 2 remembered" in raised.out


def test_a_limit_that_is_too_low_still_is_raised_further(tmp_path: Path) -> None:
    with Talking() as server:
        project = make(tmp_path, server)
        project.edit("max_tokens: 200", "max_tokens: 100")
        project.run(*UNTIL)
        project.edit("max_tokens: 100", "max_tokens: 120")
        assert project.run(*UNTIL).code == 1
        assert server.count == 8 + 2 * 3
        project.edit("max_tokens: 120", "max_tokens: 160")
        assert project.run(*UNTIL).code == 0
        assert server.count == 14 + 2


def test_another_limit_moves_nothing_that_is_whole(tmp_path: Path) -> None:
    with Talking() as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
        made = project.run("plan", "recipe.yaml", "--json").out
        project.edit("max_tokens: 200", "max_tokens: 20")
        assert project.run(*UNTIL).out.count("nothing to do") or server.count == 4
        assert server.count == 4
        project.edit("count: 4", "count: 6")
        project.edit("max_tokens: 20", "max_tokens: 300")
        assert project.run(*UNTIL).code == 0
        assert server.count == 6, made


def test_a_level_limits_the_tokens_of_its_answers(tmp_path: Path) -> None:
    with Talking() as server:
        project = make(tmp_path, server)
        project.edit("words: [1, 40], seconds: 5", "words: [1, 40], seconds: 5, max_tokens: 60")
        project.edit("seconds: 60", "seconds: 60, max_tokens: 900")
        assert project.run(*UNTIL).code == 0
        sent = {
            re.findall(r"level (\w+)", str(seen.body["messages"]))[0]: seen.body["max_tokens"]
            for seen in server.seen
        }
        assert sent == {"low": 60, "high": 200}, "the smaller of both"
        # As with a teacher's, another limit of a level is another question of nobody.
        project.edit("max_tokens: 60", "max_tokens: 70")
        assert project.run(*UNTIL).code == 0
        assert server.count == 4


def test_a_level_limits_the_seconds_and_a_late_request_is_hung_up_on(tmp_path: Path) -> None:
    class Dawdling(messages_api.MessagesServer):
        left: int = 0

        def usual(self, seen: Seen) -> Step:
            if "level low" in str(seen.body["messages"]):
                return Slow(30, GOOD)
            return Slow(0.6, GOOD)

    with Dawdling() as server:
        project = make(tmp_path, server)
        project.edit("words: [1, 40], seconds: 5", "words: [1, 40], seconds: 5, timeout: 0.3")
        done = project.run(*UNTIL)
    assert done.code == 1
    assert "no answer within 0.3 s" in done.err, done.out + done.err
    assert "timeout" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_another_try_has_another_seed(kind: str) -> None:
    from jessy_build.example import Message, Request
    from jessy_build.teachers import ollama, openai

    asked = Request(kind, "m", (Message("user", "hi"),), 10, sample=3)
    again = asked._replace(attempt=1)

    def seed(request: Request) -> int:
        if kind == "ollama":
            return int(ollama._body(request)["options"]["seed"])
        return int(openai._body(request, openai.Dialect())["seed"])

    assert seed(asked) == 3
    assert seed(again) not in (3, 4, 5)
    assert seed(asked._replace(sample=4)) != seed(asked)
    assert 0 <= seed(asked._replace(sample=170_000, attempt=40)) < 2**31


def test_an_answer_cut_off_in_a_batch_is_asked_again_with_more_room(tmp_path: Path) -> None:
    with BatchesServer() as server:
        project = make(tmp_path, server)
        project.edit("concurrency: 1", "batch: true")
        server.text = lambda asked: "{" if "level high" in asked else '{"user":"a","assistant":"b"}'
        usual = server._result

        def result(request: dict[str, Any]) -> dict[str, Any]:
            made = usual(request)
            if request["params"]["max_tokens"] == 100:
                made["message"]["stop_reason"] = "max_tokens"
                made["message"]["usage"]["output_tokens"] = 100
            return made

        server._result = result  # type: ignore[method-assign]
        server.when = lambda seen: CUT if seen.path == "/v1/messages" else None
        project.edit("max_tokens: 200", "max_tokens: 100")
        assert project.run(*UNTIL).code == 1
        server.text = lambda asked: '{"user":"a","assistant":"b"}'
        project.edit("max_tokens: 100", "max_tokens: 300")
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
        assert [len(batch["requests"]) for batch in server.batches] == [4, 4]


def test_a_shared_answer_takes_the_place_of_one_that_was_cut_off(tmp_path: Path) -> None:
    shared = {"JESSY_SHARED_STORE": str(tmp_path / "shared")}
    with Talking() as server:
        mine, theirs = (make(tmp_path / name, server) for name in ("mine", "theirs"))
        mine.edit("max_tokens: 200", "max_tokens: 100")
        assert mine.run(*UNTIL, **shared).code == 1
        assert theirs.run(*UNTIL, **shared).code == 0
        asked = server.count
        mine.edit("max_tokens: 100", "max_tokens: 200")
        done = mine.run(*UNTIL, **shared)
        assert done.code == 0 and server.count == asked, done.out + done.err

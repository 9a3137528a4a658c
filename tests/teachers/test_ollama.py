"""The Ollama teacher: the real SDK against a loopback server, with every fault it must survive."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jessy_build.diagnostics import StepError
from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import example_schema, ollama, parse
from jessy_build.teachers.retry import Fault, Passing
from tests.loopback import ollama_api as api
from tests.loopback.server import Drip, Drop, HalfBody, Loopback, Seen, Slow, Status, Step

KEY = "ollama-test-0123456789"


def config(**fields: Any) -> ollama.Config:
    return ollama.Config(**{"kind": "ollama", "model": "gemma3:4b", **fields})


def settings(url: str, *, offline: bool = False) -> Settings:
    here = Path("project")
    return Settings(here, here / ".jessy", url, offline=offline, env={"OLLAMA_API_KEY": KEY})


def question(prompt: str = "Bir soru yaz.", **fields: Any) -> Request:
    return ollama.request(config(), prompt=prompt, schema=example_schema(), **fields)


def ask(server: Loopback, request: Request | None = None, **fields: Any) -> Reply:
    async def once() -> Reply:
        teacher = ollama.open(config(**fields), settings(server.url))
        try:
            return await teacher.ask(request or question())
        finally:
            await teacher.close()

    return asyncio.run(once())


def refused(server: Loopback, **fields: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        ask(server, **fields)
    error = caught.value
    assert KEY not in error.problem + error.hint + repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.hint
    return error


def test_an_answer_becomes_a_reply_with_its_usage_and_its_request() -> None:
    request = question("Selamlaşan biri ne yazar?")
    with api.OllamaServer(api.said('{"user": "naber", "assistant": "iyiyim"}')) as server:
        reply = ask(server, request)
    assert [message.content for message in parse(reply.text)] == ["naber", "iyiyim"]
    assert (reply.stop, reply.model, reply.request) == ("end", "gemma3:4b", request.digest)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (13, 8)
    assert 0 < reply.seconds < 10
    assert server.count == 1


def test_what_is_sent_is_the_request_with_the_sample_as_seed() -> None:
    with api.OllamaServer() as server:
        ask(server, question("Soru?", system="Kısa konuş.", sample=7))
    assert server.seen[0].path == "/api/chat"
    assert server.seen[0].body == {
        "model": "gemma3:4b",
        "stream": False,
        "think": False,
        "format": dict(example_schema()),
        "messages": [
            {"role": "system", "content": "Kısa konuş."},
            {"role": "user", "content": "Soru?"},
        ],
        "options": {"temperature": 0.8, "num_predict": 512, "seed": 7},
        "tools": [],
    }


@pytest.mark.parametrize(
    ("more", "stop"),
    [
        ({}, "end"),
        ({"done_reason": "length"}, "length"),
        ({"done_reason": "load"}, "length"),
        ({"done_reason": None}, "length"),
        ({"done": False}, "length"),
    ],
)
def test_only_a_finished_answer_counts_as_finished(more: dict[str, Any], stop: str) -> None:
    with api.OllamaServer(api.said('{"user": "a"', **more)) as server:
        assert ask(server).stop == stop
    assert server.count == 1


FAULTS: Mapping[Fault, tuple[Step, ...]] = {
    "busy": (api.error(503, "server busy, please try again"), api.error(429, "slow down")),
    "failed": (api.error(500, "llama runner process has terminated"),),
    "lost": (Drop(), HalfBody(api.said('{"user": "a", "assistant": "b"}'))),
    "late": (Slow(5, api.said("{}")), Drip(0.05)),
}


@pytest.mark.parametrize(("fault", "step"), [(f, s) for f, all in FAULTS.items() for s in all])
def test_a_passing_fault_is_told_as_one_and_asked_once(fault: Fault, step: Step) -> None:
    with api.OllamaServer(step) as server:
        error = refused(server, timeout=0.3)
    assert isinstance(error, Passing) and error.fault == fault
    assert server.count == 1
    assert "kept" in error.hint


def test_the_wait_that_a_gateway_asks_for_is_read() -> None:
    busy = Status(429, {"error": "slow down"}, {"retry-after": "3"})
    with api.OllamaServer(busy) as server:
        error = refused(server)
    assert isinstance(error, Passing) and error.wait == 3


def test_a_model_that_is_not_there_is_answered_with_the_line_that_gets_it() -> None:
    with api.OllamaServer() as server, pytest.raises(StepError) as caught:
        wanted = config(model="jessy:v9")
        teacher = ollama.open(wanted, settings(server.url))
        asyncio.run(teacher.ask(ollama.request(wanted, prompt="?")))
    assert "has no model 'jessy:v9'" in caught.value.problem
    assert caught.value.hint == "get it with: ollama pull jessy:v9"
    assert server.count == 1


def test_no_server_is_said_at_once_with_the_line_that_starts_one() -> None:
    with api.OllamaServer() as server:
        pass
    error = refused(server)
    assert not isinstance(error, Passing)
    assert error.problem == f"no Ollama server answers at {server.url}"
    assert "ollama serve" in error.hint


@pytest.mark.parametrize(
    ("answer", "in_problem"),
    [
        (api.error(400, f"'gemma3:4b' does not support chat {KEY}"), "does not support chat [key]"),
        (Status(307, "", {"location": "http://127.0.0.1:9/api/chat"}), "(307)"),
        (Status(404, "404 page not found", {"content-type": "text/plain"}), "no chat answer"),
        (Status(200, "<html>hello</html>"), "no chat answer"),
        (Status(200, '{"model": "gemma3:4b", "mess'), "no chat answer"),
        (Status(200, "[]"), "no chat answer"),
        (Status(200, {"done": True}), "no chat answer"),
        (Status(400, "[1]"), "no chat answer"),
    ],
)
def test_what_no_retry_can_mend_is_asked_once(answer: Step, in_problem: str) -> None:
    with api.OllamaServer(answer) as server:
        assert in_problem in refused(server).problem
    assert server.count == 1


@pytest.mark.parametrize("silence", [Slow(5, api.said("{}")), Drip(0.05)], ids=["silent", "drips"])
def test_an_answer_that_does_not_come_is_given_up(silence: Step) -> None:
    began = time.monotonic()
    with api.OllamaServer(silence) as server:
        error = refused(server, timeout=0.3)
    assert "no answer within 0.3 s" in error.problem
    assert "`timeout`" in error.hint
    assert server.count == 1
    assert time.monotonic() - began < 5


def test_a_cancelled_ask_closes_its_connection() -> None:
    left: list[float] = []

    class Watch:
        def play(self, connection: Any) -> None:
            began = time.monotonic()
            if connection.left_within(5):
                left.append(time.monotonic() - began)

    class Watched(api.OllamaServer):
        def usual(self, seen: Seen) -> Step:
            return Watch()

    async def once(server: Loopback) -> None:
        teacher = ollama.open(config(), settings(server.url))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(teacher.ask(question()), 0.3)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if left:
                break
        assert left
        await teacher.close()

    with Watched() as server:
        asyncio.run(once(server))


def test_the_recipes_host_wins_over_the_settings() -> None:
    with api.OllamaServer() as named, api.OllamaServer() as other:
        for host in (named.url, named.url.removeprefix("http://"), named.url + "/"):
            ask(other, host=host)
    assert (named.count, other.count) == (3, 0)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with api.OllamaServer() as server:
        assert ask(server).stop == "end"


def test_an_offline_build_asks_no_other_machine() -> None:
    with pytest.raises(StepError, match="offline"):
        ollama.open(config(host="http://models.example:11434"), settings("", offline=True))
    ollama.open(config(), settings("http://localhost:11434", offline=True))
    ollama.open(config(), settings("http://[::1]:11434", offline=True))


@pytest.mark.parametrize("url", ["not a url", "ftp://x", "http://", "http://[::1", "a:b:c"])
def test_an_address_that_is_none_is_told_by_its_name(url: str) -> None:
    with pytest.raises(StepError, match="OLLAMA_HOST"):
        ollama.open(config(), settings(url))
    with pytest.raises(StepError, match="`host`"):
        ollama.open(config(host=url), settings(""))


REQUEST: dict[str, Any] = {
    "prompt": "p",
    "system": "s",
    "schema": example_schema(),
    "sample": 1,
}


@pytest.mark.parametrize(
    "fields", [{"concurrency": 2}, {"timeout": 9.0}, {"host": "http://10.0.0.2:11434"}]
)
def test_speed_and_host_are_no_part_of_a_request(fields: dict[str, Any]) -> None:
    same = ollama.request(config(), **REQUEST).digest
    assert ollama.request(config(**fields), **REQUEST).digest == same


@pytest.mark.parametrize("fields", [{"temperature": 0.1}, {"model": "qwen3"}])
def test_what_changes_an_answer_changes_the_request(fields: dict[str, Any]) -> None:
    before = ollama.request(config(), **REQUEST).digest
    assert ollama.request(config(**fields), **REQUEST).digest != before


@pytest.mark.parametrize(
    "fields", [{"max_tokens": 0}, {"temperature": 3.0}, {"concurrency": 0}, {"host": ""}]
)
def test_what_makes_no_sense_is_refused_in_the_recipe(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**fields)

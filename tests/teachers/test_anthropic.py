"""The Claude teacher: the real SDK against a loopback server, with every fault it must survive."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jessy_build.diagnostics import StepError
from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import TEACHERS, anthropic, example_schema, parse
from jessy_build.teachers.retry import Fault, Passing
from tests.loopback import messages_api as api
from tests.loopback.server import Drip, Drop, HalfBody, Loopback, Seen, Slow, Status, Step

KEY = "sk-ant-test-0123456789abcdefghij"


def config(**fields: Any) -> anthropic.Config:
    return anthropic.Config(kind="anthropic", model="claude-haiku-5-5", **fields)


def settings(url: str = "", *, key: str = KEY, offline: bool = False) -> Settings:
    env = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": url}
    here = Path("project")
    return Settings(here, here / ".jessy", "http://127.0.0.1:1", offline=offline, env=env)


def question(prompt: str = "Bir soru yaz.", **fields: Any) -> Request:
    return anthropic.request(config(), prompt=prompt, schema=example_schema(), **fields)


def ask(server: Loopback, request: Request | None = None, **fields: Any) -> Reply:
    async def once() -> Reply:
        teacher = anthropic.open(config(**fields), settings(server.url))
        try:
            return await teacher.ask(request or question())
        finally:
            await teacher.close()

    return asyncio.run(once())


def refused(server: Loopback, **fields: Any) -> StepError:
    """The error of one ask; no text of it, nor of anything that hangs on it, holds the key."""
    with pytest.raises(StepError) as caught:
        ask(server, **fields)
    error = caught.value
    for text in (error.problem, error.hint, repr(error), str(error)):
        assert KEY not in text
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.hint
    return error


def test_an_answer_becomes_a_reply_with_its_usage_and_its_request() -> None:
    request = question("Selamlaşan biri ne yazar?")
    answer = api.said(
        '{"user": "naber", "assistant": "iyiyim"}',
        "claude-haiku-5-5-20261001",
        cache_creation_input_tokens=100,
        cache_read_input_tokens=1000,
        output_tokens_details={"thinking_tokens": 3},
    )
    with api.MessagesServer(answer) as server:
        reply = ask(server, request)
    assert parse(reply.text)[1].content == "iyiyim"
    assert (reply.stop, reply.model) == ("end", "claude-haiku-5-5-20261001")
    assert reply.request == request.digest
    assert reply.usage.input_tokens == 11
    assert (reply.usage.cached_input_tokens, reply.usage.cache_write_tokens) == (1000, 100)
    assert (reply.usage.output_tokens, reply.usage.thinking_tokens) == (7, 3)
    assert 0 < reply.seconds < 10
    assert server.count == 1


def test_what_is_sent_is_the_request_and_thinking_is_off() -> None:
    with api.MessagesServer() as server:
        ask(server, question("Soru?", system="Kısa konuş."), max_tokens=300)
    sent = server.seen[0]
    assert sent.path == "/v1/messages"
    assert sent.body == {
        "model": "claude-haiku-5-5",
        "max_tokens": 1024,
        "system": "Kısa konuş.",
        "messages": [{"role": "user", "content": "Soru?"}],
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": dict(example_schema())}},
    }
    assert KEY in sent.headers["authorization"] or sent.headers.get("x-api-key") == KEY


LONG = "Sen JESSY'sin. " * 400


def ask_all(server: Loopback, *requests: Request) -> list[Reply | BaseException]:
    async def all_of_them() -> list[Reply | BaseException]:
        teacher = anthropic.open(config(), settings(server.url))
        try:
            asked = (teacher.ask(request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await teacher.close()

    return asyncio.run(all_of_them())


def test_a_long_system_text_is_marked_for_the_cache_and_is_the_same_request() -> None:
    request = question("Soru?", system=LONG)
    with api.MessagesServer() as server:
        ask(server, request)
    assert server.seen[0].body["system"] == [
        {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    ]
    assert "cache" not in json.dumps(request.question), "nothing that was paid for is asked again"


@pytest.mark.parametrize("system", ["ş" * 511, "x" * 1023])
def test_what_no_model_would_cache_is_not_marked(system: str) -> None:
    with api.MessagesServer() as server:
        ask(server, question("Soru?", system=system))
    assert server.seen[0].body["system"] == system


def test_of_many_sent_at_once_one_writes_the_cache_and_all_others_read_it() -> None:
    requests = [question(f"Soru {n}?", system=LONG) for n in range(8)]
    with api.CachingServer(seconds=0.1) as server:
        replies = ask_all(server, *requests)
    usages = [reply.usage for reply in replies if isinstance(reply, Reply)]
    tokens = len(LONG) // 4
    assert len(usages) == 8
    assert sum(usage.cache_write_tokens for usage in usages) == tokens
    assert sum(usage.cached_input_tokens for usage in usages) == 7 * tokens


def test_each_constant_part_has_a_first_and_others_wait_for_none() -> None:
    requests = [question("Soru?", system=f"{n}{LONG}") for n in range(4)]
    requests += [question(f"Soru {n}?", system="kısa") for n in range(4)]
    with api.CachingServer(seconds=1) as server:
        ask_all(server, *requests)
    assert server.most_at_once == 8


def test_when_the_first_fails_the_others_go_on() -> None:
    requests = [question(f"Soru {n}?", system=LONG) for n in range(4)]
    with api.CachingServer(api.overloaded(), seconds=0.05) as server:
        replies = ask_all(server, *requests)
    assert sum(isinstance(reply, Passing) for reply in replies) == 1
    assert sum(isinstance(reply, Reply) for reply in replies) == 3


def test_without_system_and_schema_neither_is_sent() -> None:
    with api.MessagesServer() as server:
        ask(server, anthropic.request(config(), prompt="Merhaba"))
    assert {"system", "output_config"}.isdisjoint(server.seen[0].body)


@pytest.mark.parametrize(
    ("stop_reason", "stop"),
    [
        ("end_turn", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
def test_only_a_finished_answer_counts_as_finished(stop_reason: str, stop: str) -> None:
    with api.MessagesServer(api.said('{"user": "a"', stop_reason=stop_reason)) as server:
        assert ask(server).stop == stop
    assert server.count == 1


def test_an_ending_that_nobody_asked_for_is_an_error() -> None:
    with api.MessagesServer(api.said("", stop_reason="pause_turn")) as server:
        assert "pause_turn" in refused(server).problem


FAULTS: Mapping[Fault, tuple[Step, ...]] = {
    "busy": (api.rate_limited(), api.overloaded(), api.error(503, "api_error", "no room")),
    "failed": (api.failed(), api.error(408, "timeout_error", "slow")),
    "lost": (Drop(), HalfBody(api.said('{"user": "a", "assistant": "b"}'))),
    "late": (Slow(5, api.said("{}")), Drip(0.05)),
}


@pytest.mark.parametrize(("fault", "step"), [(f, s) for f, all in FAULTS.items() for s in all])
def test_a_passing_fault_is_told_as_one_and_asked_once(fault: Fault, step: Step) -> None:
    with api.MessagesServer(step) as server:
        error = refused(server, timeout=0.3)
    assert isinstance(error, Passing) and error.fault == fault
    assert server.count == 1, "the SDK tries again by itself"
    assert "kept" in error.hint


def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    with api.MessagesServer() as server:
        pass
    error = refused(server)
    assert isinstance(error, Passing) and not error.may_be_billed
    assert "Connect call failed" in error.problem and "ssl" not in error.problem


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "400"}, 0.4),
        ({"retry_after": "3"}, 3),
        ({"retry_after": "soon"}, 0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, 0),
    ],
)
def test_the_wait_that_the_server_asks_for_is_read(headers: Any, seconds: float) -> None:
    with api.MessagesServer(api.error(429, "rate_limit_error", "slow down", **headers)) as server:
        error = refused(server)
    assert isinstance(error, Passing) and error.wait == seconds


@pytest.mark.parametrize(("status", "said", "again"), [(400, "true", True), (500, "false", False)])
def test_a_server_that_says_whether_to_try_again_is_believed(
    status: int, said: str, again: bool
) -> None:
    with api.MessagesServer(api.error(status, "api_error", "?", x_should_retry=said)) as server:
        assert isinstance(refused(server), Passing) == again


def test_a_lasting_rate_limit_names_the_recipes_word_for_it() -> None:
    with api.MessagesServer(api.rate_limited()) as server:
        error = refused(server, concurrency=5)
    assert "429" in error.problem
    assert "`concurrency` of the teacher (it is 5)" in error.hint


def test_a_reached_spend_limit_stops_at_the_first_answer() -> None:
    with api.MessagesServer(*[api.spent()] * 20) as server:
        error = refused(server)
    assert server.count == 1 and not isinstance(error, Passing)
    assert "spend limit" in error.problem


def test_a_wait_of_an_hour_is_told_and_not_slept() -> None:
    late = api.error(429, "rate_limit_error", "later", retry_after="3600")
    began = time.monotonic()
    with api.MessagesServer(late) as server:
        assert "3600 s" in refused(server).problem
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("answer", "in_problem", "in_hint"),
    [
        (
            api.error(401, "authentication_error", f"bad key {KEY}"),
            "does not accept the key",
            "set ANTHROPIC_API_KEY",
        ),
        (api.error(402, "billing_error", f"pay for {KEY}"), "payment", "billing"),
        (
            api.error(403, "permission_error", f"not for {KEY}"),
            "may not use 'claude-haiku-5-5'",
            "another model",
        ),
        (
            api.error(400, "invalid_request_error", f"{KEY} is no"),
            "does not take the request (400): [key] is no",
            "model",
        ),
        (Status(307, "", {"location": "http://127.0.0.1:9/elsewhere"}), "(307)", ""),
    ],
    ids=["401", "402", "403", "400", "307"],
)
def test_what_no_retry_can_mend_is_asked_once(answer: Step, in_problem: str, in_hint: str) -> None:
    with api.MessagesServer(answer) as server:
        error = refused(server)
    assert in_problem in error.problem
    assert in_hint in error.hint
    assert server.count == 1


def test_an_unknown_model_is_answered_with_the_one_that_was_meant() -> None:
    missing = api.error(404, "not_found_error", "model: claude-haiku-5.5")

    async def once() -> None:
        wanted = anthropic.Config(kind="anthropic", model="claude-haiku-5.5")
        teacher = anthropic.open(wanted, settings(server.url))
        await teacher.ask(anthropic.request(wanted, prompt="?"))

    with api.MessagesServer(missing) as server, pytest.raises(StepError) as caught:
        asyncio.run(once())
    assert "no model 'claude-haiku-5.5'" in caught.value.problem
    assert caught.value.hint == "did you mean 'claude-haiku-5-5'?"


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "msg_1", "type": "mess',
        "<html>hello</html>",
        "[]",
        "{}",
        '{"content": []}',
        '"hi"',
        '{"content": [1]}',
        '{"content": 5, "usage": {}}',
        '{"model": "m", "stop_reason": "end_turn", "content": [{"type": "text", "text": 5}],'
        ' "usage": {"input_tokens": 1, "output_tokens": 1}}',
        '{"model": "m", "stop_reason": ["end_turn"], "content": [],'
        ' "usage": {"input_tokens": 1, "output_tokens": 1}}',
        '{"model": "m", "stop_reason": "end_turn", "content": [], "usage": {"input_tokens": 1}}',
    ],
)
def test_an_answer_that_is_no_message_is_an_error_and_not_an_example(body: str) -> None:
    with api.MessagesServer(Status(200, body)) as server:
        assert "no message" in refused(server).problem


@pytest.mark.parametrize("silence", [Slow(5, api.said("{}")), Drip(0.05)], ids=["silent", "drips"])
def test_an_answer_that_does_not_come_is_given_up(silence: Step) -> None:
    began = time.monotonic()
    with api.MessagesServer(silence) as server:
        error = refused(server, timeout=0.3)
    assert "no answer within 0.3 s" in error.problem
    assert "`timeout`" in error.hint
    assert server.count == 1
    assert time.monotonic() - began < 5


def test_no_server_at_all_is_said_so() -> None:
    with api.MessagesServer() as server:
        pass
    error = refused(server)
    assert isinstance(error, Passing) and not error.may_be_billed
    assert server.url in error.problem
    assert "ANTHROPIC_BASE_URL" in error.hint


def test_a_cancelled_ask_closes_its_connection() -> None:
    left: list[float] = []

    class Watched(api.MessagesServer):
        def usual(self, seen: Seen) -> Step:
            return Watch()

    class Watch:
        def play(self, connection: Any) -> None:
            began = time.monotonic()
            if connection.left_within(5):
                left.append(time.monotonic() - began)

    async def once(server: Loopback) -> None:
        teacher = anthropic.open(config(), settings(server.url))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(teacher.ask(question()), 0.3)
        # The server must see it before the teacher is closed.
        for _ in range(100):
            await asyncio.sleep(0.02)
            if left:
                break
        assert left
        await teacher.close()

    with Watched() as server:
        asyncio.run(once(server))
    assert left[0] < 3


def test_one_teacher_asks_many_at_once() -> None:
    async def many(server: Loopback) -> list[Reply]:
        teacher = anthropic.open(config(), settings(server.url))
        try:
            return await asyncio.gather(
                *[teacher.ask(question(f"s{n}")) for n in range(teacher.concurrency)]
            )
        finally:
            await teacher.close()

    answers = [Slow(0.3, api.said(json.dumps({"user": "a", "assistant": "b"})))] * 8
    with api.MessagesServer(*answers) as server:
        replies = asyncio.run(many(server))
    assert len({reply.request for reply in replies}) == 8
    assert server.most_at_once == 8


@pytest.mark.parametrize("key", ["", "   ", "sk-ant\nx", "sk-ant-ş", "sk ant"])
def test_no_usable_key_is_said_before_anything_is_sent(key: str) -> None:
    with api.MessagesServer() as server, pytest.raises(StepError) as caught:
        anthropic.open(config(), settings(server.url, key=key))
    assert "ANTHROPIC_API_KEY" in caught.value.problem
    assert key.strip() == "" or key not in caught.value.problem + caught.value.hint
    assert server.count == 0


def test_the_key_comes_from_the_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "other-token")
    with api.MessagesServer() as server:
        ask(server)
    assert KEY in str(server.seen[0].headers)
    assert "other" not in str(server.seen[0].headers)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with api.MessagesServer() as server:
        assert ask(server).stop == "end"


def test_the_key_stands_in_no_text_of_what_is_made() -> None:
    with api.MessagesServer() as server:
        reply = ask(server)
        here = settings(server.url)
        teacher = anthropic.open(config(), here)
    for thing in (reply, question(), config(), here, teacher, vars(config())):
        assert KEY not in repr(thing)


def test_an_offline_build_asks_no_other_machine() -> None:
    with pytest.raises(StepError, match="offline"):
        anthropic.open(config(), settings("https://models.example", offline=True))
    with api.MessagesServer() as server:
        anthropic.open(config(), settings(server.url, offline=True))


@pytest.mark.parametrize("url", ["not a url", "ftp://x", "http://", "http://[::1", "http://a:b:c"])
def test_an_address_that_is_none_is_told_by_its_name(url: str) -> None:
    with pytest.raises(StepError, match="ANTHROPIC_BASE_URL"):
        anthropic.open(config(), settings(url))


def test_a_password_in_the_address_is_not_told() -> None:
    with api.MessagesServer() as server:
        pass
    with pytest.raises(StepError) as caught:
        url = server.url.replace("http://", "http://user:hunter2@")
        teacher = anthropic.open(config(), settings(url))
        asyncio.run(teacher.ask(question()))
    assert "hunter2" not in caught.value.problem + caught.value.hint


REQUEST: dict[str, Any] = {
    "prompt": "p",
    "system": "s",
    "schema": example_schema(),
    "sample": 1,
}


@pytest.mark.parametrize("fields", [{"concurrency": 2}, {"timeout": 9.0}, {"max_tokens": 9}])
def test_neither_speed_nor_room_is_part_of_a_request(fields: dict[str, Any]) -> None:
    same = anthropic.request(config(), **REQUEST).digest
    assert anthropic.request(config(**fields), **REQUEST).digest == same


@pytest.mark.parametrize(
    "changed",
    [{"prompt": "q"}, {"system": "t"}, {"system": None}, {"schema": None}, {"sample": 2}],
)
def test_what_changes_an_answer_changes_the_request(changed: dict[str, Any]) -> None:
    before = anthropic.request(config(), **REQUEST).digest
    assert anthropic.request(config(), **{**REQUEST, **changed}).digest != before


@pytest.mark.parametrize(
    "fields", [{"max_tokens": 0}, {"max_tokens": 32_000}, {"concurrency": 0}, {"temperature": 0.5}]
)
def test_what_the_api_does_not_take_is_refused_in_the_recipe(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**fields)


def test_importing_the_teachers_loads_no_sdk() -> None:
    code = (
        "import sys, jessy_build.teachers;"
        "sdks = {'anthropic', 'ollama', 'openai', 'httpx', 'httpx2', 'mlx', 'llguidance'};"
        "print(sorted(sdks & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(TEACHERS) == {"curated", "anthropic", "ollama", "openai", "mlx"}

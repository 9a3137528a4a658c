"""The OpenAI teacher: the real SDK against a loopback server, with every fault it must survive."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jessy_build.diagnostics import StepError
from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import example_schema, openai, parse
from jessy_build.teachers.retry import Fault, Passing
from tests.loopback import openai_api as api
from tests.loopback.server import Drip, Drop, HalfBody, Loopback, Seen, Slow, Status, Step

KEY = "sk-proj-test-0123456789abcdefghij"


def config(**fields: Any) -> openai.Config:
    return openai.Config(**{"kind": "openai", "model": "smollm2", **fields})


def settings(url: str = "", *, key: str = KEY, offline: bool = False, **env: str) -> Settings:
    """The key's own server is the one at `url`, as if OPENAI_BASE_URL named it."""
    here = Path("project")
    env = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": url, **env}
    return Settings(here, here / ".jessy", "http://127.0.0.1:1", offline=offline, env=env)


def question(prompt: str = "Bir soru yaz.", **fields: Any) -> Request:
    return openai.request(config(), prompt=prompt, schema=example_schema(), **fields)


def ask(server: Loopback, *requests: Request, key: str = KEY, **fields: Any) -> list[Reply]:
    """One after the other, by one teacher."""

    async def each() -> list[Reply]:
        here = settings(f"{server.url}/v1", key=key)
        teacher = openai.open(config(**fields), here)
        try:
            return [await teacher.ask(request) for request in requests or [question()]]
        finally:
            await teacher.close()

    return asyncio.run(each())


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
    usage = {
        "prompt_tokens": 1111,
        "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    answer = api.said('{"user": "naber", "assistant": "iyiyim"}', "smollm2-135m", usage=usage)
    with api.OpenAIServer(answer) as server:
        (reply,) = ask(server, request)
    assert parse(reply.text)[1].content == "iyiyim"
    assert (reply.stop, reply.model, reply.request) == ("end", "smollm2-135m", request.digest)
    # What is read from a cache is no part of `input_tokens`; what is thought is one of the output.
    assert (reply.usage.input_tokens, reply.usage.cached_input_tokens) == (111, 1000)
    assert (reply.usage.output_tokens, reply.usage.thinking_tokens) == (7, 3)
    assert 0 < reply.seconds < 10
    assert server.count == 1


def test_what_is_sent_is_the_request_with_the_sample_as_seed() -> None:
    asked = openai.request(
        config(temperature=0.5, max_tokens=300),
        prompt="Soru?",
        system="Kısa konuş.",
        schema=example_schema(),
        sample=7,
    )
    with api.OpenAIServer() as server:
        ask(server, asked)
    sent = server.seen[0]
    assert sent.path == "/v1/chat/completions"
    format = {"name": "example", "strict": True, "schema": dict(example_schema())}
    assert sent.body == {
        "model": "smollm2",
        "max_tokens": 300,
        "temperature": 0.5,
        "seed": 7,
        "messages": [
            {"role": "system", "content": "Kısa konuş."},
            {"role": "user", "content": "Soru?"},
        ],
        "response_format": {"type": "json_schema", "json_schema": format},
    }
    assert sent.headers["authorization"] == f"Bearer {KEY}"


def test_what_nobody_asked_for_is_not_sent() -> None:
    with api.OpenAIServer() as server:
        ask(server, openai.request(config(), prompt="Merhaba"))
    assert {"temperature", "response_format"}.isdisjoint(server.seen[0].body)


def test_a_server_with_newer_names_is_learnt_once_and_never_again() -> None:
    with api.Renamed() as server:
        replies = ask(server, question("a"), question("b"), max_tokens=300)
    assert [reply.stop for reply in replies] == ["end", "end"]
    names = [
        sorted({"max_tokens", "max_completion_tokens", "seed"} & {*s.body}) for s in server.seen
    ]
    assert names == [
        ["max_tokens", "seed"],
        ["max_completion_tokens", "seed"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]


def test_many_at_once_learn_it_too() -> None:
    async def many() -> list[Reply]:
        teacher = openai.open(config(concurrency=16), settings(f"{server.url}/v1"))
        try:
            return await asyncio.gather(*[teacher.ask(question(f"s{n}")) for n in range(16)])
        finally:
            await teacher.close()

    with api.Renamed() as server:
        assert {reply.stop for reply in asyncio.run(many())} == {"end"}
    assert server.count <= 3 * 16


def test_openai_itself_is_asked_with_the_newer_name() -> None:
    teacher = openai.open(config(), settings())
    assert teacher._dialect.limit == "max_completion_tokens"
    assert teacher._account.url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("answer", "stop"),
    [
        (api.said('{"user": "a"}', finish_reason="stop"), "end"),
        (api.said('{"user": "a"', finish_reason="length"), "length"),
        (api.said('{"user": "a"', finish_reason=None), "length"),
        (api.said("", finish_reason="content_filter"), "refusal"),
        (api.said(None, refusal="I cannot."), "refusal"),
    ],
)
def test_only_a_finished_answer_counts_as_finished(answer: Step, stop: str) -> None:
    with api.OpenAIServer(answer) as server:
        assert ask(server)[0].stop == stop
    assert server.count == 1


def test_an_ending_that_nobody_asked_for_is_an_error() -> None:
    with api.OpenAIServer(api.said("", finish_reason="tool_calls")) as server:
        assert "tool_calls" in refused(server).problem


def test_tokens_that_nobody_counts_are_an_error_only_where_they_are_paid() -> None:
    answer = api.uncounted('{"user": "a", "assistant": "b"}')
    prices = {"input": 1.0, "output": 2.0, "as_of": "2026-11-01"}
    with api.OpenAIServer(answer, answer) as server:
        assert ask(server)[0].usage.output_tokens == 0
        error = refused(server, prices=openai.Prices.model_validate_json(json.dumps(prices)))
    assert "how many tokens" in error.problem and "`prices`" in error.hint


FAULTS: Mapping[Fault, tuple[Step, ...]] = {
    "busy": (api.rate_limited(), api.failed(503)),
    "failed": (api.failed(), api.error(408, "slow")),
    "lost": (Drop(), HalfBody(api.said('{"user": "a", "assistant": "b"}'))),
    "late": (Slow(5, api.said("{}")), Drip(0.05)),
}


@pytest.mark.parametrize(("fault", "step"), [(f, s) for f, all in FAULTS.items() for s in all])
def test_a_passing_fault_is_told_as_one_and_asked_once(fault: Fault, step: Step) -> None:
    with api.OpenAIServer(step) as server:
        error = refused(server, timeout=0.3)
    assert isinstance(error, Passing) and error.fault == fault
    assert server.count == 1, "the SDK tries again by itself"
    assert "kept" in error.hint


def test_the_wait_that_the_server_asks_for_is_read() -> None:
    with api.OpenAIServer(api.rate_limited(after_ms=400)) as server:
        error = refused(server)
    assert isinstance(error, Passing) and error.wait == 0.4


def test_a_lasting_rate_limit_names_the_recipes_word_for_it() -> None:
    with api.OpenAIServer(api.rate_limited()) as server:
        error = refused(server, concurrency=5)
    assert "429" in error.problem
    assert "`concurrency` of the teacher (it is 5)" in error.hint


def test_money_that_is_used_up_stops_at_the_first_answer() -> None:
    with api.OpenAIServer(*[api.spent()] * 20) as server:
        error = refused(server)
    assert server.count == 1 and not isinstance(error, Passing)
    assert "used up" in error.problem


def test_a_wait_of_an_hour_is_told_and_not_slept() -> None:
    began = time.monotonic()
    with api.OpenAIServer(api.error(429, "later", retry_after="3600")) as server:
        assert "3600 s" in refused(server).problem
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("answer", "in_problem", "in_hint"),
    [
        (api.error(401, f"bad key {KEY}"), "does not accept the key", "set OPENAI_API_KEY"),
        (api.error(402, f"pay for {KEY}"), "payment first (402): pay for [key]", "billing"),
        (api.error(403, f"not for {KEY}"), "may not use 'smollm2'", "another model"),
        (api.error(404, f"no model for {KEY}"), "no model 'smollm2'", "/v1"),
        (api.error(400, f"{KEY} is no"), "does not take the request (400): [key] is no", "model"),
        (Status(422, {"detail": f"{KEY} x"}), "does not take the request (422): [key] x", "model"),
        (Status(400, {"error": "bad grammar"}), "(400): bad grammar", "model"),
        (Status(400, "[1]"), "(400)", "model"),
        (Status(307, "", {"location": "http://127.0.0.1:9/elsewhere"}), "(307)", ""),
    ],
    ids=["401", "402", "403", "404", "400", "422", "a bare text", "a list", "307"],
)
def test_what_no_retry_can_mend_is_asked_once(answer: Step, in_problem: str, in_hint: str) -> None:
    with api.OpenAIServer(answer) as server:
        error = refused(server)
    assert in_problem in error.problem
    assert in_hint in error.hint
    assert server.count == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_and_got_none_says_how_it_gets_one(status: int) -> None:
    with api.OpenAIServer(api.error(status, "who are you?")) as server:
        error = refused(server, key="")
    assert "wants a key" in error.problem
    assert "OPENAI_API_KEY" in error.hint and "OPENAI_BASE_URL" in error.hint


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "chatcmpl-1", "obj',
        "<html>hello</html>",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [1]}',
        '{"choices": [{"finish_reason": "stop"}]}',
        '{"choices": [{"finish_reason": "stop", "message": null}]}',
        '"hi"',
        "null",
    ],
)
def test_an_answer_that_is_no_completion_is_an_error_and_not_an_example(body: str) -> None:
    with api.OpenAIServer(Status(200, body)) as server:
        assert "no chat completion" in refused(server).problem


@pytest.mark.parametrize("silence", [Slow(5, api.said("{}")), Drip(0.05)], ids=["silent", "drips"])
def test_an_answer_that_does_not_come_is_given_up(silence: Step) -> None:
    began = time.monotonic()
    with api.OpenAIServer(silence) as server:
        error = refused(server, timeout=0.3)
    assert "no answer within 0.3 s" in error.problem
    assert "`timeout`" in error.hint
    assert server.count == 1
    assert time.monotonic() - began < 5


def test_no_server_at_all_is_said_so() -> None:
    with api.OpenAIServer() as server:
        pass
    error = refused(server)
    assert isinstance(error, Passing) and not error.may_be_billed
    assert server.url in error.problem
    assert "OPENAI_BASE_URL" in error.hint


def test_a_cancelled_ask_closes_its_connection() -> None:
    left: list[float] = []

    class Watched(api.OpenAIServer):
        def usual(self, seen: Seen) -> Step:
            return Watch()

    class Watch:
        def play(self, connection: Any) -> None:
            began = time.monotonic()
            if connection.left_within(5):
                left.append(time.monotonic() - began)

    async def once(server: Loopback) -> None:
        teacher = openai.open(config(), settings(f"{server.url}/v1"))
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


@pytest.mark.parametrize("key", ["sk-\nx", "sk-ş", "sk ant"])
def test_a_key_that_is_none_is_said_before_anything_is_sent(key: str) -> None:
    with api.OpenAIServer() as server, pytest.raises(StepError) as caught:
        openai.open(config(), settings(server.url, key=key))
    assert "OPENAI_API_KEY" in caught.value.problem
    assert key not in caught.value.problem + caught.value.hint
    assert server.count == 0


def test_openai_itself_wants_a_key_and_a_server_of_ones_own_none() -> None:
    with pytest.raises(StepError, match="OPENAI_API_KEY is not set"):
        openai.open(config(), settings(key=" "))
    with api.OpenAIServer() as server:
        assert ask(server, key="")[0].stop == "end"
    assert "authorization" not in server.seen[0].headers


def test_the_key_goes_to_the_server_of_the_environment_and_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = "Api-Key: gateway-secret\nAuthorization: Bearer ambient-secret"
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", more)

    async def once(server: Loopback, own: str) -> None:
        here = settings(own, OPENAI_CUSTOM_HEADERS=more)
        teacher = openai.open(config(base_url=f"{server.url}/v1"), here)
        await teacher.ask(question())
        await teacher.close()

    for own in ("", "https://models.example/v1", "no address"):
        with api.OpenAIServer() as server:
            asyncio.run(once(server, own))
        assert KEY not in str(server.seen[0].headers)
        assert "secret" not in str(server.seen[0].headers)
    with api.OpenAIServer() as server:
        asyncio.run(once(server, f"{server.url}/other"))
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.seen[0].headers["api-key"] == "gateway-secret"


def test_the_key_comes_from_the_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "sk-other")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "authorization: Bearer sk-other")
    with api.OpenAIServer() as server:
        ask(server)
        ask(server, key="")
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {KEY}", None]
    assert "other" not in str([seen.headers for seen in server.seen])


def test_a_secret_of_a_gateway_is_scrubbed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Api-Key: gateway-secret")

    async def once() -> None:
        here = settings(server.url, OPENAI_CUSTOM_HEADERS="Api-Key: gateway-secret")
        await openai.open(config(), here).ask(question())

    answer = api.error(400, "not with gateway-secret")
    scrubbed = pytest.raises(StepError, match=r"not with \[key\]")
    with api.OpenAIServer(answer) as server, scrubbed:
        asyncio.run(once())
    assert server.seen[0].headers["api-key"] == "gateway-secret"


def test_the_key_stands_in_no_text_of_what_is_made_and_in_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with api.OpenAIServer() as server:
        (reply,) = ask(server)
        here = settings(server.url)
        teacher = openai.open(config(), here)
    for thing in (reply, question(), config(), here, teacher, vars(config())):
        assert KEY not in repr(thing)
    assert "openai" in caplog.text and KEY not in caplog.text


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with api.OpenAIServer() as server:
        assert ask(server)[0].stop == "end"


def test_the_recipes_address_wins_over_the_environment() -> None:
    with api.OpenAIServer() as named, api.OpenAIServer() as other:
        ask(other, base_url=f"{named.url}/v1")
        ask(other, base_url=f"{named.url}/v1/")
    assert (named.count, other.count) == (2, 0)


def test_an_offline_build_asks_no_other_machine() -> None:
    for fields in ({}, {"base_url": "https://models.example/v1"}):
        with pytest.raises(StepError, match="offline"):
            openai.open(config(**fields), settings(offline=True))
    openai.open(config(base_url="http://localhost:1234/v1"), settings(offline=True))
    openai.open(config(), settings("http://[::1]:1234/v1", offline=True))


@pytest.mark.parametrize("url", ["not a url", "ftp://x", "http://", "http://[::1", "http://a:b:c"])
def test_an_address_that_is_none_is_told_by_its_name(url: str) -> None:
    with pytest.raises(StepError, match="OPENAI_BASE_URL"):
        openai.open(config(), settings(url))
    with pytest.raises(StepError, match="`base_url`"):
        openai.open(config(base_url=url), settings())


def test_a_password_in_the_address_is_not_told() -> None:
    with api.OpenAIServer() as server:
        pass
    with pytest.raises(StepError) as caught:
        url = server.url.replace("http://", "http://user:hunter2@")
        teacher = openai.open(config(), settings(url))
        asyncio.run(teacher.ask(question()))
    assert "hunter2" not in caught.value.problem + caught.value.hint


REQUEST: dict[str, Any] = {
    "prompt": "p",
    "system": "s",
    "schema": example_schema(),
    "sample": 1,
}


@pytest.mark.parametrize(
    "fields", [{"concurrency": 2}, {"timeout": 9.0}, {"base_url": "http://10.0.0.2:8000/v1"}]
)
def test_speed_and_address_are_no_part_of_a_request(fields: dict[str, Any]) -> None:
    same = openai.request(config(), **REQUEST).digest
    assert openai.request(config(**fields), **REQUEST).digest == same


@pytest.mark.parametrize("fields", [{"temperature": 0.1}, {"temperature": 0.0}, {"model": "qwen3"}])
def test_what_changes_an_answer_changes_the_request(fields: dict[str, Any]) -> None:
    before = openai.request(config(), **REQUEST).digest
    assert openai.request(config(**fields), **REQUEST).digest != before


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"temperature": 3.0},
        {"concurrency": 0},
        {"base_url": ""},
        {"api_key": KEY},
    ],
)
def test_what_makes_no_sense_is_refused_in_the_recipe(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**fields)

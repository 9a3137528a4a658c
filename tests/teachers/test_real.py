"""The real clients against a real llama.cpp that answers with a real model. No scripts here."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import ASKING, TEACHERS, Shape, example_schema, parse
from tests.conftest import RealBases
from tests.packaging.llama_server import LlamaServer, serving

pytestmark = pytest.mark.real
PROMPT = "Write a short question about tea, and its answer."
KEY = "sk-test-0123456789abcdefghij"


@pytest.fixture(scope="module")
def llama(real_bases: RealBases) -> Iterator[LlamaServer]:
    pytest.importorskip("xllamacpp")
    with serving(real_bases.smollm2, context=2048) as server:
        yield server


def settings(llama: LlamaServer) -> Settings:
    here = Path("project")
    env = {
        "OPENAI_BASE_URL": f"{llama.url}/v1",
        "ANTHROPIC_BASE_URL": llama.url,
        "ANTHROPIC_API_KEY": KEY,
    }
    return Settings(here, here / ".jessy", "http://127.0.0.1:1", offline=True, env=env)


def config(kind: str, **fields: Any) -> Any:
    return TEACHERS[kind].Config(**{"kind": kind, "model": "smollm2", "max_tokens": 120, **fields})


def ask(llama: LlamaServer, kind: str, *requests: Request, **fields: Any) -> list[Reply]:
    async def all_at_once() -> list[Reply]:
        teacher = ASKING[kind].open(config(kind, **fields), settings(llama))
        try:
            return await asyncio.gather(*map(teacher.ask, requests))
        finally:
            await teacher.close()

    return asyncio.run(all_at_once())


def question(kind: str, sample: int = 0, **fields: Any) -> Request:
    schema = fields.pop("schema", example_schema())
    return ASKING[kind].request(
        config(kind, **fields), prompt=PROMPT, system="Be brief.", schema=schema, sample=sample
    )


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_real_model_answers_with_tokens_that_are_counted(llama: LlamaServer, kind: str) -> None:
    request = question(kind, schema=None)
    (reply,) = ask(llama, kind, request)
    assert reply.text.strip() and reply.stop in ("end", "length")
    assert reply.request == request.digest and reply.model
    assert reply.usage.input_tokens + reply.usage.cached_input_tokens > 10
    assert 0 < reply.usage.output_tokens <= 120


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_real_model_is_cut_off_where_the_recipe_says(llama: LlamaServer, kind: str) -> None:
    (reply,) = ask(llama, kind, question(kind, max_tokens=3, schema=None), max_tokens=3)
    assert (reply.stop, reply.usage.output_tokens) == ("length", 3)


@pytest.mark.parametrize("turns", [1, 2])
def test_a_real_model_keeps_to_the_schema_through_openais_api(
    llama: LlamaServer, turns: int
) -> None:
    fields = {"temperature": 0.0, "max_tokens": 400}
    request = question("openai", schema=example_schema(Shape(turns)), **fields)
    (reply,) = ask(llama, "openai", request, **fields)
    assert reply.stop == "end"
    assert len(parse(reply.text, Shape(turns))) == 2 * turns


def test_the_sample_is_the_seed_of_a_real_model(llama: LlamaServer) -> None:
    """Another sample is another answer, and the same one the same again."""
    fields: dict[str, Any] = {"temperature": 1.5, "schema": None}
    asked = [question("openai", sample, **fields) for sample in (1, 2, 1)]
    one, two, again = (ask(llama, "openai", request)[0].text for request in asked)
    assert one == again != two


def test_several_questions_are_under_way_at_once(llama: LlamaServer) -> None:
    asked = [question("openai", sample, schema=None, max_tokens=20) for sample in range(4)]
    replies = ask(llama, "openai", *asked)
    assert [reply.request for reply in replies] == [request.digest for request in asked]
    assert all(reply.text for reply in replies)


def test_a_question_that_is_too_long_for_the_model_is_said_so(llama: LlamaServer) -> None:
    long = ASKING["openai"].request(config("openai"), prompt="tea and " * 3000)
    with pytest.raises(StepError, match=r"does not take the request \(400\).*context"):
        ask(llama, "openai", long)


def test_a_real_server_is_free_again_after_a_cancelled_question(llama: LlamaServer) -> None:
    """It would be busy for minutes otherwise: it has one place."""

    async def leave() -> None:
        fields = {"max_tokens": 1900, "schema": None}
        teacher = ASKING["openai"].open(config("openai", max_tokens=1900), settings(llama))
        endless = question("openai", **fields)
        endless = endless._replace(params={"extra_body": {"ignore_eos": True}})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(teacher.ask(endless), 1)
        await teacher.close()

    asyncio.run(leave())
    (reply,) = ask(
        llama, "openai", question("openai", schema=None, max_tokens=3), max_tokens=3, timeout=20
    )
    assert reply.usage.output_tokens == 3

"""A real, tiny model in this process: answers in one batch, each as if it were alone."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("llguidance")

from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import mlx, mlx_batch, parse
from jessy_build.teachers.retry import Passing
from tests.packaging.random_models import make_random_model

SHORT = {"type": "string", "minLength": 1, "maxLength": 8}
SCHEMA = {
    "type": "object",
    # Not in the order of the alphabet: the question comes first.
    "properties": {"user": SHORT, "assistant": SHORT},
    "required": ["user", "assistant"],
    "additionalProperties": False,
}

LONG = {"type": "string", "minLength": 3000}
"""Takes some seconds, whatever the model would like."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    from jessy_build import settings as machine

    return machine.load(tmp_path / "recipe.yaml", {})


def config(folder: Path, **more: Any) -> mlx.Pinned:
    said = {"kind": "mlx", "model": "path:./tiny", "weights": "path:" + "a" * 64, "max_tokens": 80}
    return mlx.Pinned(**{**said, "folder": folder, "concurrency": 4, **more})


def request(of: mlx.Pinned, sample: int = 0, *, schema: Any = SCHEMA, **more: Any) -> Request:
    asked = mlx.request(of, prompt="hello, number 1?", schema=schema, sample=sample)
    return asked._replace(**more)


def with_teacher(
    of: mlx.Pinned, settings: Settings, use: Callable[[mlx.Mlx], Awaitable[Any]]
) -> Any:
    async def run() -> Any:
        teacher = mlx.open(of, settings)
        try:
            return await use(teacher)
        finally:
            await teacher.close()

    return asyncio.run(run())


def together(of: mlx.Pinned, settings: Settings, asked: Sequence[Request]) -> list[Reply]:
    async def use(teacher: mlx.Mlx) -> list[Reply]:
        return list(await asyncio.gather(*map(teacher.ask, asked)))

    found: list[Reply] = with_teacher(of, settings, use)
    return found


def one_by_one(of: mlx.Pinned, settings: Settings, asked: Sequence[Request]) -> list[Reply]:
    async def use(teacher: mlx.Mlx) -> list[Reply]:
        return [await teacher.ask(one) for one in asked]

    found: list[Reply] = with_teacher(of, settings, use)
    return found


def test_every_answer_is_of_the_schema_and_says_what_it_took(
    tiny_model: Path, settings: Settings
) -> None:
    of = config(tiny_model, temperature=1.5)
    asked = [request(of, sample) for sample in range(6)]
    replies = together(of, settings, asked)
    for one, reply in zip(asked, replies, strict=True):
        assert reply.stop == "end" and reply.request == one.digest
        assert [turn.role for turn in parse(reply.text)] == ["user", "assistant"]
        assert list(json.loads(reply.text)) == ["user", "assistant"]
        assert reply.usage.input_tokens > 5 and 5 < reply.usage.output_tokens <= 80
        assert reply.seconds > 0 and reply.model == "path:./tiny"


def test_who_else_is_in_the_batch_decides_nothing(tiny_model: Path, settings: Settings) -> None:
    of = config(tiny_model)
    # Of different lengths, so that some leave the batch while others stay.
    asked = [
        request(of, n, max_tokens=10 + 15 * n, schema=SCHEMA if n % 2 else None) for n in range(5)
    ]
    alone = [reply.text for reply in one_by_one(of, settings, asked)]
    assert [reply.text for reply in together(of, settings, asked)] == alone
    assert [reply.text for reply in together(of, settings, asked[::-1])] == alone[::-1]


def test_a_gemma_2_is_asked_several_at_once_like_any_other(
    tmp_path: Path, settings: Settings
) -> None:
    """Two requests, as many as it has groups of heads: mlx-lm alone says something else here."""
    of = config(make_random_model(tmp_path / "model", "gemma2", num_key_value_heads=2))
    prompts = ("hey", "selam kanka, " * 12 + "naber?")
    asked = [
        mlx.request(of, prompt=prompt, schema=None, sample=0)._replace(max_tokens=30)
        for prompt in prompts
    ]
    alone = [reply.text for reply in one_by_one(of, settings, asked)]
    assert [reply.text for reply in together(of, settings, asked)] == alone


def test_what_is_asked_at_once_is_decoded_at_once(
    tiny_model: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx_lm.generate import BatchGenerator

    sizes, following = [], BatchGenerator.next

    def watched(self: Any) -> Any:
        prompts, responses = following(self)
        sizes.append(len(responses))
        return prompts, responses

    monkeypatch.setattr(BatchGenerator, "next", watched)
    of = config(tiny_model, concurrency=3)
    together(of, settings, [request(of, n, schema=None, max_tokens=20) for n in range(6)])
    assert max(sizes) == 3


def test_each_sample_and_each_attempt_is_another_answer_and_always_the_same(
    tiny_model: Path, settings: Settings
) -> None:
    of = config(tiny_model)
    asked = [request(of), request(of, 1), request(of, attempt=1), request(of)]
    first, sample, attempt, again = (r.text for r in together(of, settings, asked))
    assert len({first, sample, attempt}) == 3 and again == first


def test_at_temperature_0_all_samples_are_the_likeliest_answer(
    tiny_model: Path, settings: Settings
) -> None:
    of = config(tiny_model, temperature=0)
    first, second = together(of, settings, [request(of), request(of, 1)])
    assert first.text == second.text


def test_an_answer_that_is_cut_off_says_so(tiny_model: Path, settings: Settings) -> None:
    of = config(tiny_model, max_tokens=4)
    (reply,) = together(of, settings, [request(of)])
    assert (reply.stop, reply.usage.output_tokens) == ("length", 4)


def test_a_late_answer_may_be_tried_again_and_its_place_is_free(
    tiny_model: Path, settings: Settings
) -> None:
    of = config(tiny_model, concurrency=1, timeout=0.5)

    async def use(teacher: mlx.Mlx) -> Reply:
        with pytest.raises(Passing, match=r"no answer within 0\.5 s") as late:
            await teacher.ask(request(of, schema=LONG, max_tokens=16_000))
        assert late.value.fault == "late"
        return await teacher.ask(request(of, max_tokens=3))

    assert with_teacher(of, settings, use).usage.output_tokens == 3


def test_who_waits_no_more_leaves_the_batch(tiny_model: Path, settings: Settings) -> None:
    of = config(tiny_model, concurrency=1)

    async def use(teacher: mlx.Mlx) -> tuple[Reply, int]:
        long = asyncio.create_task(teacher.ask(request(of, schema=LONG, max_tokens=16_000)))
        while not teacher._batch._worker._inside:
            await asyncio.sleep(0.01)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        reply = await teacher.ask(request(of, max_tokens=3))
        return reply, len(teacher._batch._worker._inside)

    began = time.monotonic()
    reply, inside = with_teacher(of, settings, use)
    assert reply.usage.output_tokens == 3 and inside == 0
    assert time.monotonic() - began < 30


def test_closing_gives_the_memory_back(tiny_model: Path, settings: Settings) -> None:
    import mlx.core as mx

    of = config(tiny_model)
    together(of, settings, [request(of)])
    before = mx.get_active_memory()

    async def use(teacher: mlx.Mlx) -> int:
        await teacher.ask(request(of))
        return int(mx.get_active_memory())

    during = with_teacher(of, settings, use)
    assert during > before + 100_000
    assert mx.get_active_memory() < before + 100_000


def test_nothing_is_loaded_before_the_first_question(tmp_path: Path, settings: Settings) -> None:
    async def nothing(teacher: mlx.Mlx) -> None:
        pass

    with_teacher(config(tmp_path / "nowhere"), settings, nothing)


def test_a_folder_that_cannot_be_loaded_is_told_to_all_who_ask(
    tiny_model: Path, tmp_path: Path, settings: Settings
) -> None:
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    of = config(tmp_path)

    async def use(teacher: mlx.Mlx) -> list[Any]:
        asked = [teacher.ask(request(of, n)) for n in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    problems = with_teacher(of, settings, use)
    assert len(problems) == 3
    assert all(isinstance(p, StepError) and "MLX cannot load" in p.problem for p in problems)


def test_a_batch_that_breaks_is_told_to_all_and_never_waited_for(
    tiny_model: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(self: Any) -> None:
        raise RuntimeError("[metal::malloc] too large")

    monkeypatch.setattr(mlx_batch._Worker, "_step", out_of_memory)
    of = config(tiny_model)

    async def use(teacher: mlx.Mlx) -> list[Any]:
        first = await asyncio.gather(teacher.ask(request(of)), return_exceptions=True)
        return [*first, *await asyncio.gather(teacher.ask(request(of)), return_exceptions=True)]

    problems = with_teacher(of, settings, use)
    assert [type(p) for p in problems] == [StepError, StepError]
    assert all("too large" in p.problem and "`concurrency`" in p.hint for p in problems)


def test_another_template_is_another_question_and_another_prompt(
    tiny_model: Path, settings: Settings
) -> None:
    own = config(tiny_model, max_tokens=2)
    other = config(tiny_model, max_tokens=2, template="{{ messages[0].content }}")
    assert request(own).digest != request(other).digest
    (longer,) = together(own, settings, [request(own)])
    (shorter,) = together(other, settings, [request(other)])
    assert shorter.usage.input_tokens < longer.usage.input_tokens


def test_the_weights_are_part_of_a_question_and_where_they_lie_is_not(tmp_path: Path) -> None:
    here = request(config(tmp_path / "here"))
    assert request(config(tmp_path / "there", concurrency=9, timeout=7)).digest == here.digest
    assert request(config(tmp_path, model="path:../renamed")).digest == here.digest
    assert request(config(tmp_path / "here", weights="path:" + "b" * 64)).digest != here.digest
    assert request(config(tmp_path / "here", temperature=0.1)).digest != here.digest


@pytest.mark.parametrize("package", mlx.PACKAGES)
def test_a_package_that_is_missing_is_told_with_the_line_that_installs_it(
    package: str, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(MissingPackage) as caught:
        mlx.open(config(tmp_path), settings)
    assert f"'{package}'" in caught.value.problem
    assert caught.value.hint == "uv pip install 'jessy-build[mlx]'"

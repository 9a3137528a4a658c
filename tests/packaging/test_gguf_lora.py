"""An adapter as GGUF: on top of its base it is in llama.cpp what it is in MLX, in every family."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

from jessy_build.chat import Chat  # noqa: E402
from jessy_build.diagnostics import StepError  # noqa: E402
from jessy_build.packaging import gguf_lora, gguf_write  # noqa: E402
from jessy_build.packaging.gguf_file import open_gguf  # noqa: E402
from jessy_build.runtimes import llamacpp  # noqa: E402
from tests.packaging.adapters import write_adapter  # noqa: E402
from tests.packaging.llama_server import serving  # noqa: E402
from tests.packaging.parity import greedy_differences  # noqa: E402
from tests.packaging.random_models import CONFIGS, make_random_model  # noqa: E402
from tests.packaging.test_gguf_families import NEAR_TIE, PROMPTS  # noqa: E402

STRENGTH = 0.15
"""Enough that most next tokens are others than the base's."""


@dataclass(frozen=True)
class Trained:
    name: str
    base: Path
    gguf: Path
    adapter: Path

    @property
    def near_tie(self) -> float:
        # 0.003 to 0.014 were measured, over machines and biases; a wrong strength moves nats.
        return NEAR_TIE.get(self.name, 0.03)

    def prompts(self) -> list[str]:
        chat = Chat.load(self.base)
        return [chat.render([{"role": "user", "content": p}], generate=True) for p in PROMPTS]

    def mlx(self) -> tuple[Any, Any]:
        from mlx_lm import load

        loaded: Any = load(str(self.base), adapter_path=str(self.adapter))
        return loaded[0], loaded[1]

    def written(self, path: Path, scale: float | None = None) -> Path:
        if scale is not None:
            file = self.adapter / "adapter_config.json"
            said = file.read_text()
            config = json.loads(said)
            config["lora_parameters"]["scale"] = scale
            file.write_text(json.dumps(config))
        gguf_lora.write(self.base, self.adapter, path, name="tiny")
        if scale is not None:
            file.write_text(said)
        return path


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("trained")
    base = make_random_model(folder / "base", request.param)
    gguf_write.write(base, folder / "base.gguf", kind="f32", name="base")
    adapter = write_adapter(folder / "adapter", base, STRENGTH)
    yield Trained(request.param, base, folder / "base.gguf", adapter)


def test_llama_cpp_answers_with_it_as_mlx_does(trained: Trained, tmp_path: Path) -> None:
    model, tokenizer = trained.mlx()
    with serving(trained.gguf, adapter=trained.written(tmp_path / "a.gguf")) as server:
        texts = trained.prompts()
        assert not greedy_differences(model, tokenizer, server, texts, trained.near_tie)
        prompts = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        asked = {tuple(prompt): server.top(prompt, 5) for prompt in prompts}
        told = {prompt: top for prompt, top in asked.items() if top}
        assert len(told) >= 3, "a model that ends at once tells no probabilities"
        for prompt, top in told.items():
            assert furthest(model, list(prompt), top) < trained.near_tie, prompt


def test_its_strength_is_mlx_lms_scale_times_its_rank(trained: Trained, tmp_path: Path) -> None:
    right = trained.written(tmp_path / "right.gguf")
    assert open_gguf(right).meta["adapter.lora.alpha"] == 8.0
    model, tokenizer = trained.mlx()
    prompts = [tokenizer.encode(text, add_special_tokens=False) for text in trained.prompts()]
    weaker = trained.written(tmp_path / "weaker.gguf", scale=0.25)
    assert open_gguf(weaker).meta["adapter.lora.alpha"] == 1.0
    for adapter in (None, weaker):
        with serving(trained.gguf, adapter=adapter) as server:
            told = [(prompt, top) for prompt in prompts if (top := server.top(prompt, 5))]
            assert max(furthest(model, *one) for one in told) > 2 * trained.near_tie


def furthest(model: Any, prompt: list[int], top: dict[int, float]) -> float:
    """Between MLX's log-probabilities of these tokens and llama.cpp's."""
    scores = model(mx.array([prompt]))[0, -1].astype(mx.float32)
    ours = scores - mx.logsumexp(scores)
    assert len(top) == 5
    return max(abs(float(ours[token]) - said) for token, said in top.items())


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_model(tmp_path_factory.mktemp("llama") / "base", "llama")


def test_writing_twice_gives_the_same_bytes_and_float32(llama: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", llama, STRENGTH)
    for name in ("one.gguf", "two.gguf"):
        gguf_lora.write(llama, adapter, tmp_path / name, name="tiny")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()
    file = open_gguf(tmp_path / "one.gguf")
    assert file.meta["general.type"] == "adapter" and file.meta["adapter.type"] == "lora"
    assert {tensor.kind for tensor in file.tensors.values()} == {0}
    assert file.tensors["blk.1.ffn_down.weight.lora_a"].shape == (4, 96)
    assert file.tensors["blk.1.ffn_down.weight.lora_b"].shape == (64, 4)


def test_the_runtime_asks_base_and_adapter(llama: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", llama, STRENGTH)
    gguf_lora.write(llama, adapter, tmp_path / "a.gguf", name="tiny")
    gguf_write.write(llama, tmp_path / "base.gguf", name="base")
    said = []
    for on_top in (None, tmp_path / "a.gguf"):
        with llamacpp.open(tmp_path / "base.gguf", adapter=on_top) as runtime:
            said.append(runtime.ask("hello", 12).text)
    assert said[0] != said[1]
    with (
        pytest.raises(StepError, match=r"cannot load base.gguf with base.gguf"),
        llamacpp.open(tmp_path / "base.gguf", adapter=tmp_path / "base.gguf"),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "problem", "hint"),
    [
        ({"m": mx.zeros((64,))}, "holds 'model.layers.0.self_attn.q_proj.m'", "kind: fused"),
        ({"lora_b": None}, "lacks 'model.layers.0.self_attn.q_proj.lora_b'", "again"),
        ({"lora_a": mx.ones((32, 4))}, "is for 64 x 32 weights, and the base has 64 x 64", "again"),
        (
            {"lora_a": mx.ones((64, 8)), "lora_b": mx.ones((8, 64))},
            "ranks 4, 8",
            "kind: fused",
        ),
    ],
)
def test_what_no_gguf_adapter_can_hold_is_refused(
    change: dict[str, Any], problem: str, hint: str, llama: Path, tmp_path: Path
) -> None:
    named = {f"model.layers.0.self_attn.q_proj.{half}": value for half, value in change.items()}
    error = refused(llama, tmp_path, named)
    assert problem in error.problem and hint in error.hint


@pytest.mark.parametrize("module", ["model.embed_tokens", "lm_head"])
def test_an_adapter_of_the_vocabulary_is_refused(module: str, llama: Path, tmp_path: Path) -> None:
    pair = {f"{module}.lora_a": mx.ones((64, 4)), f"{module}.lora_b": mx.ones((4, 64))}
    error = refused(llama, tmp_path, pair)
    assert f"the adapter changes '{module}.weight'" in error.problem
    assert "train.lora.targets" in error.hint


def test_an_adapter_of_a_layer_that_the_base_lacks_is_refused(llama: Path, tmp_path: Path) -> None:
    module = "model.layers.7.mlp.up_proj"
    pair = {f"{module}.lora_a": mx.ones((64, 4)), f"{module}.lora_b": mx.ones((4, 96))}
    assert "which the base does not have" in refused(llama, tmp_path, pair).problem


@pytest.mark.parametrize(("strength", "scale"), [(0.0, 2.0), (0.1, 0.0)])
def test_an_adapter_that_changes_nothing_is_refused(
    strength: float, scale: float, llama: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", llama, strength, scale=scale)
    with pytest.raises(StepError, match="changes nothing"):
        gguf_lora.write(llama, adapter, tmp_path / "a.gguf", name="tiny")
    assert not (tmp_path / "a.gguf").exists()


def test_an_adapter_of_another_kind_is_refused(llama: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", llama, STRENGTH)
    file = adapter / "adapter_config.json"
    file.write_text(file.read_text().replace('"lora"', '"dora"'))
    with pytest.raises(StepError, match="of type 'dora'"):
        gguf_lora.write(llama, adapter, tmp_path / "a.gguf", name="tiny")


def refused(base: Path, folder: Path, change: dict[str, Any]) -> StepError:
    adapter = write_adapter(folder / "adapter", base, STRENGTH)
    file = adapter / "adapters.safetensors"
    held: Any = {**mx.load(str(file)), **change}
    mx.save_safetensors(str(file), {name: v for name, v in held.items() if v is not None})
    with pytest.raises(StepError) as caught:
        gguf_lora.write(base, adapter, folder / "a.gguf", name="tiny")
    assert not (folder / "a.gguf").exists()
    return caught.value

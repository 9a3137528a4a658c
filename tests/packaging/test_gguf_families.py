"""Every family in tiny: what MLX computes, llama.cpp computes from the GGUF, and back again."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jessy_build.chat import Chat
from jessy_build.packaging import gguf_read, gguf_write, mlx_weights, rope
from jessy_build.packaging.gguf_file import open_gguf
from tests.packaging.llama_server import LlamaServer, serving
from tests.packaging.parity import greedy_differences
from tests.packaging.random_models import CONFIGS, make_random_model

STRINGS: list[str] = json.loads(
    (Path(__file__).parent.parent / "data" / "tokenize_strings.json").read_text("utf-8")
)
NEAR_TIE = {
    # mlx-lm gives the first Gemma the exact GELU; llama.cpp, like Google, its tanh form.
    "gemma": 0.3,
    # llama.cpp looks GELU up in a half-precision table.
    "gemma2": 0.05,
    "gemma3": 0.05,
}
PROMPTS = ["hello", "sana bisi sorucam", "how are you?", "tamam", "0123", "şu çılgın", "fox", "a b"]


@dataclass(frozen=True)
class Family:
    name: str
    folder: Path
    gguf: Path
    server: LlamaServer


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Family]:
    folder = make_random_model(tmp_path_factory.mktemp("random"), request.param)
    gguf = folder / "model.gguf"
    gguf_write.write(folder, gguf, kind="f32", name="tiny")
    with serving(gguf) as server:
        yield Family(request.param, folder, gguf, server)


def test_llama_cpp_cuts_text_into_the_same_tokens(family: Family) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(family.folder))
    strings = STRINGS
    if family.name == "qwen2":
        # transformers composes letters for every Qwen2, whatever its tokenizer.json says.
        strings = [text for text in strings if unicodedata.is_normalized("NFC", text)]
    wrong = {
        text: (ours, theirs)
        for text in strings
        if (ours := tokenizer.encode(text, add_special_tokens=False))
        != (theirs := family.server.tokenize(text))
    }
    assert not wrong


def test_llama_cpp_answers_as_mlx_does(family: Family) -> None:
    from mlx_lm import load

    model, tokenizer = load(str(family.folder))
    chat = Chat.load(family.folder)
    texts = [chat.render([{"role": "user", "content": p}], generate=True) for p in PROMPTS]
    near_tie = NEAR_TIE.get(family.name, 0.01)
    assert not greedy_differences(model, tokenizer, family.server, texts, near_tie)


def test_llama_cpp_renders_the_chat_as_jessy_does(family: Family) -> None:
    chat = Chat.load(family.folder)
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "selam"},
        {"role": "assistant", "content": "selam!"},
        {"role": "user", "content": "naber"},
    ]
    wanted = chat.render(messages, generate=True).removeprefix(chat.leading_bos)
    assert family.server.prompt(messages) == wanted


def test_the_gguf_converts_back_to_the_same_model(family: Family, tmp_path: Path) -> None:
    import numpy as np

    gguf_read.convert(family.gguf, tmp_path)
    before, after = (mlx_weights.open_model(p) for p in (family.folder, tmp_path))
    assert before.keys() == after.keys()
    for name in before:
        ours, theirs = (np.concatenate(list(m[name].blocks())) for m in (before, after))
        assert np.allclose(ours, theirs, atol=1e-3), name
    written = CONFIGS[family.name]
    read = _json(tmp_path / "config.json")
    renamed = {"model_type": "llama"} if written["model_type"] == "mistral" else {}
    # Gemma 2's window and the like may be added; nothing that was said may change.
    assert {key: read.get(key) for key in written} == written | renamed
    assert _tokens(family.folder) == _tokens(tmp_path)
    assert _json(tmp_path / "generation_config.json")["eos_token_id"] == _ends(family.folder)


def test_writing_twice_gives_the_same_bytes(family: Family, tmp_path: Path) -> None:
    for copy in ("one.gguf", "two.gguf"):
        gguf_write.write(family.folder, tmp_path / copy, kind="f32", name="tiny")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()
    assert (tmp_path / "one.gguf").read_bytes() == family.gguf.read_bytes()


def test_converting_twice_gives_the_same_bytes(family: Family, tmp_path: Path) -> None:
    for copy in ("one", "two"):
        gguf_read.convert(family.gguf, tmp_path / copy)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0"])
def test_smaller_kinds_load_and_nearly_agree(family: Family, kind: str, tmp_path: Path) -> None:
    import numpy as np

    gguf_write.write(family.folder, tmp_path / "small.gguf", kind=kind, name="tiny")
    small, whole = open_gguf(tmp_path / "small.gguf"), open_gguf(family.gguf)
    assert small.tensors.keys() == whole.tensors.keys()
    for name, tensor in small.tensors.items():
        ours, theirs = small.whole(tensor), whole.whole(whole.tensors[name])
        assert np.abs(ours - theirs).max() < 0.02, name
    with serving(tmp_path / "small.gguf") as server:
        assert server.greedy([1, 20, 30], 4)


def test_llama3_rotations_are_slowed_as_mlx_slows_them() -> None:
    import mlx.core as mx
    import numpy as np
    from mlx_lm.models.rope_utils import initialize_rope

    scaling = CONFIGS["llama-3.2"]["rope_scaling"]
    slowed: Any = initialize_rope(64, 500_000.0, False, scaling, 131_072)
    plain = 500_000.0 ** (np.arange(0, 64, 2) / 64)
    factors = np.array(slowed._freqs.astype(mx.float32)) / plain
    assert np.allclose(rope.llama3_factors(scaling, 500_000.0, 64), factors, rtol=1e-4)


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _ends(folder: Path) -> Any:
    return _json(folder / "generation_config.json")["eos_token_id"]


def _tokens(folder: Path) -> Any:
    """What the tokenizer does, without settings that change nothing (offsets, unreachable ids)."""
    tokenizer = _json(folder / "tokenizer.json")
    model = tokenizer["model"]
    merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    added = [(t["id"], t["content"], t["special"]) for t in tokenizer["added_tokens"]]
    return tokenizer["normalizer"], model["vocab"], merges, added

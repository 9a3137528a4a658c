"""The two real bases: tokens and answers of the converted folder against llama.cpp's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jessy_build import blas
from jessy_build.chat import BUILTIN, Chat
from jessy_build.packaging import gguf_read, gguf_write
from tests.packaging.llama_server import LlamaServer, serving
from tests.packaging.parity import unlike_choices

pytestmark = pytest.mark.real

STRINGS: list[str] = json.loads(
    (Path(__file__).parent.parent / "data" / "tokenize_strings.json").read_text("utf-8")
)
PROMPTS = [
    "sana bisi sorucam",
    "Merhaba, nasılsın?",
    "What is the capital of France?",
    "Write a short poem about owls.",
    "def f(x):",
    "Türkiye'nin en büyük gölü hangisi?",
    "1 2 3 4 5",
    "teşekkürler 😊",
]
TEMPLATES = {"smollm2": "chatml", "gemma": "gemma"}


@dataclass(frozen=True)
class Base:
    original: Path
    folder: Path
    tokenizer: Any
    served: LlamaServer
    """The GGUF that was written from the folder; its weights are exact."""
    model: Any


@pytest.fixture(scope="module", params=sorted(TEMPLATES))
def base(
    request: pytest.FixtureRequest, real_bases: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    blas.install()
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm import load

    original = getattr(real_bases, request.param)
    folder = tmp_path_factory.mktemp(request.param)
    gguf_read.convert(original, folder, chat_template=BUILTIN[TEMPLATES[request.param]])
    written = folder / "written.gguf"
    gguf_write.write(folder, written, name=request.param)
    model, tokenizer = load(str(folder))
    model.update(tree_map(lambda weight: weight.astype(mx.float32), model.parameters()))
    with serving(written) as served:
        yield Base(original, folder, tokenizer, served, model)
    written.unlink()


def test_the_strings_are_many_and_differ() -> None:
    assert len(STRINGS) == len(set(STRINGS)) >= 200


def test_token_ids_are_those_of_llama_cpp(base: Base) -> None:
    with serving(base.original) as original:
        wrong = {
            text: (ours, theirs)
            for text in STRINGS
            if (ours := base.tokenizer.encode(text, add_special_tokens=False))
            != (theirs := original.tokenize(text))
        }
    assert not wrong


def test_the_written_gguf_keeps_the_token_ids(base: Base) -> None:
    wrong = [
        text
        for text in STRINGS
        if base.tokenizer.encode(text, add_special_tokens=False) != base.served.tokenize(text)
    ]
    assert not wrong


def test_greedy_answers_are_those_of_llama_cpp(base: Base) -> None:
    chat = Chat.load(base.folder)
    texts = [chat.render([{"role": "user", "content": p}], generate=True) for p in PROMPTS]
    assert not unlike_choices(base.model, base.tokenizer, base.served, texts, near_tie=0.02)


def test_the_served_prompt_has_the_tokens_of_the_training_text(base: Base) -> None:
    chat = Chat.load(base.folder)
    messages = [{"role": "user", "content": "Merhaba, nasılsın?"}]
    text = chat.render(messages, generate=True)
    asked = base.served.prompt(messages)
    assert asked == text.removeprefix(chat.leading_bos)
    # A server adds the BOS itself, when the file says so.
    ours = base.tokenizer.encode(text, add_special_tokens=False)
    assert base.served.tokenize(asked, special=True) == ours


def test_an_answer_ends_at_the_end_of_turn_and_at_the_bases_own_end(base: Base) -> None:
    ends = json.loads((base.folder / "generation_config.json").read_text())["eos_token_id"]
    names = base.tokenizer.convert_ids_to_tokens(ends)
    assert set(names) == set(Chat.load(base.folder).stops)
    assert set(ends) <= set(base.tokenizer.eos_token_ids)

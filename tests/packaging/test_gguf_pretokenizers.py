"""Each pre-tokenizer in the table cuts text as llama.cpp does under that name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.packaging import gguf_write, pretokenizers
from jessy_build.packaging.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from tests.packaging.llama_server import serving
from tests.packaging.random_models import make_random_model

STRINGS: list[str] = json.loads(
    (Path(__file__).parent.parent / "data" / "tokenize_strings.json").read_text("utf-8")
)
LONG_NAME = "n" * 40
NAMED = [(entry, name) for entry in PRE_TOKENIZERS for name in entry.names]


@pytest.mark.parametrize(("entry", "name"), NAMED, ids=[name for _, name in NAMED])
def test_llama_cpp_cuts_the_same(entry: PreTokenizer, name: str, tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", "llama")
    tokenizer = _with(folder, entry)
    gguf_write.write(folder, tmp_path / "model.gguf", name=LONG_NAME)
    if name != entry.names[0]:
        _rename(tmp_path / "model.gguf", entry.names[0], name)
    with serving(tmp_path / "model.gguf") as server:
        wrong = [
            text
            for text in STRINGS
            if tokenizer.encode(text, add_special_tokens=False).ids != server.tokenize(text)
        ]
    assert not wrong


def test_the_strings_tell_all_pre_tokenizers_apart(tmp_path: Path) -> None:
    folder = make_random_model(tmp_path, "llama")
    seen = {}
    for entry in PRE_TOKENIZERS:
        tokenizer = _with(folder, replace(entry, whole_words=False))
        pieces = [tokenizer.pre_tokenizer.pre_tokenize_str(text) for text in STRINGS]
        seen[entry.names[0]] = json.dumps([[piece for piece, _ in cut] for cut in pieces])
    assert len(set(seen.values())) == len(PRE_TOKENIZERS)


@pytest.mark.parametrize("entry", PRE_TOKENIZERS, ids=lambda entry: entry.names[0])
def test_what_is_written_is_recognised(entry: PreTokenizer) -> None:
    assert pretokenizers.recognised(pretokenizers.to_json(entry), entry.whole_words) is entry


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": False},
    ],
)
def test_a_foreign_pre_tokenizer_is_refused(foreign: Any) -> None:
    with pytest.raises(StepError, match="cuts text in a way"):
        pretokenizers.recognised(foreign, whole_words=False)


def test_whole_words_are_not_passed_off_as_merged_ones() -> None:
    gpt2 = next(entry for entry in PRE_TOKENIZERS if "gpt-2" in entry.names)
    with pytest.raises(StepError, match="cuts text in a way"):
        pretokenizers.recognised(pretokenizers.to_json(gpt2), whole_words=True)


def _with(folder: Path, entry: PreTokenizer) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["pre_tokenizer"] = pretokenizers.to_json(entry)
    tokenizer["model"]["ignore_merges"] = entry.whole_words
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    return Tokenizer.from_file(str(path))


def _rename(gguf: Path, old: str, new: str) -> None:
    """Give the file another pre-tokenizer's name; the model's name makes up for the length."""
    data = _with_string(gguf.read_bytes(), "tokenizer.ggml.pre", new)
    data = _with_string(data, "general.name", "n" * (len(LONG_NAME) + len(old) - len(new)))
    gguf.write_bytes(data)


def _with_string(data: bytes, key: str, text: str) -> bytes:
    place = data.index(key.encode()) + len(key) + 4
    size = int.from_bytes(data[place : place + 8], "little")
    return data[:place] + len(text).to_bytes(8, "little") + text.encode() + data[place + 8 + size :]

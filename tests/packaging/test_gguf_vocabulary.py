"""The two notations of one tokenizer."""

import json
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.packaging import vocabulary
from jessy_build.packaging.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
)

TOKENS = ["<unk>", "<s>", "</s>", "<0x61>", "\n\n", "a", "b", "ab", "abb", "bb", "aba"]
TYPES = [UNKNOWN, CONTROL, CONTROL, BYTE, USER_DEFINED, *[NORMAL] * 6]
SCORES = [0.0, 0.0, 0.0, 0.0, -1000.0, -9.0, -9.0, -1.0, -3.0, -2.0, -4.0]
META = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": TYPES,
    "tokenizer.ggml.scores": SCORES,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
}


def test_merges_come_best_score_first_and_never_make_special_tokens() -> None:
    merges = vocabulary.rebuilt_merges(vocabulary.from_gguf(META))
    assert merges == [("a", "b"), ("b", "b"), ("a", "bb"), ("ab", "b"), ("ab", "a")]


def test_scores_from_merges_keep_the_order_of_the_pieces() -> None:
    words = vocabulary.from_gguf(META)
    back = vocabulary.from_tokenizer_json(
        _json(words), {"bos": "<s>", "unk": "<unk>"}, rows=len(TOKENS)
    )
    assert (back.tokens, back.types) == (words.tokens, words.types)
    assert vocabulary.rebuilt_merges(back) == vocabulary.rebuilt_merges(words)
    assert min(back.scores()) == back.scores()[TOKENS.index("<s>")]


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("bos", [True, False])
def test_flags_survive_both_ways(prefix: bool, bos: bool) -> None:
    meta = META | {
        "tokenizer.ggml.add_space_prefix": prefix,
        "tokenizer.ggml.add_bos_token": bos,
    }
    tokenizer = _json(vocabulary.from_gguf(meta))
    back = vocabulary.from_tokenizer_json(tokenizer, {"bos": "<s>"}, rows=len(TOKENS))
    assert (back.add_space_prefix, back.add_bos) == (prefix, bos)


def test_a_file_that_says_nothing_gets_what_llama_cpp_supposes() -> None:
    words = vocabulary.from_gguf(META)
    assert words.add_space_prefix and words.add_bos


def test_rows_without_a_token_get_a_name_and_are_unused() -> None:
    tokenizer = _json(vocabulary.from_gguf(META))
    padded = vocabulary.from_tokenizer_json(tokenizer, {}, rows=len(TOKENS) + 2)
    assert padded.tokens[-2:] == (b"[PAD11]", b"[PAD12]")
    assert padded.types[-2:] == (vocabulary.UNUSED, vocabulary.UNUSED)


def test_a_token_beyond_the_embedding_is_refused() -> None:
    tokenizer = _json(vocabulary.from_gguf(META))
    with pytest.raises(StepError, match="has id 10, but the model has 10 rows"):
        vocabulary.from_tokenizer_json(tokenizer, {}, rows=len(TOKENS) - 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tokenizer.ggml.model": "bert"}, "vocabulary of kind 'bert'"),
        ({"tokenizer.ggml.tokens": []}, "holds no vocabulary"),
        ({"tokenizer.ggml.scores": [1.0]}, "has no scores"),
        ({"tokenizer.ggml.token_type": [1]}, "differ in length"),
        ({"tokenizer.ggml.bos_token_id": 99}, "names 99 as a special token"),
        ({"tokenizer.ggml.eos_token_id": -1}, "names -1 as a special token"),
        ({"tokenizer.ggml.model": "gpt2"}, "pre-tokenizer 'default' is not known"),
        (
            {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2"},
            "BPE vocabulary has no merges",
        ),
    ],
)
def test_a_vocabulary_that_cannot_be_right_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(StepError, match=problem):
        vocabulary.from_gguf(META | change)


def test_every_token_that_ends_an_answer_is_read() -> None:
    meta = META | {"tokenizer.ggml.eot_token_id": 1, "tokenizer.ggml.eos_token_ids": [2, 5]}
    assert vocabulary.from_gguf(meta).end_ids == (2, 1, 5)


def _json(words: Vocabulary) -> bytes:
    return json.dumps(vocabulary.to_tokenizer_json(words)).encode()

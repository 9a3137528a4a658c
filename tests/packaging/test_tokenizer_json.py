"""A tokenizer.json that is cut by its quotes says what a JSON parser says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.packaging.tokenizer_json import TokenizerJson

# What looks like an edge and is none, as real vocabularies have it.
TRAPS = [
    *(
        '"',
        "\\",
        '\\"',
        '",',
        ',"',
        '","',
        "]]",
        "[[",
        "}",
        "{",
        "], [",
        ":",
        ": 1",
        "\n",
        "\0",
        " ",
    ),
    *(
        "\t\t",
        "\\\\",
        "vocab",
        "merges",
        '"merges": [',
        '{"vocab": {',
        "▁a",
        "é",
        "😀",
        "\\n",
        "\x7f",
    ),
]
TEXTS = st.one_of(
    st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
)
STYLES: list[dict[str, Any]] = [
    {"ensure_ascii": False},
    {"ensure_ascii": True, "separators": (",", ":")},
    {"ensure_ascii": False, "indent": 2, "sort_keys": True},
]


@given(
    st.dictionaries(TEXTS, st.integers(-1, 1 << 20)),
    st.lists(st.tuples(TEXTS, TEXTS).map(list)),
    st.lists(TEXTS),
    st.sampled_from(STYLES),
)
def test_everything_in_it_is_read_as_a_parser_reads_it(
    vocab: dict[str, int], merges: list[list[str]], added: list[str], style: dict[str, Any]
) -> None:
    whole = _file(vocab, merges, added)
    file = TokenizerJson(json.dumps(whole, **style).encode())
    assert dict(zip((token.decode() for token in file.tokens), file.ids, strict=True)) == vocab
    assert file.merges(b"") == [(left + right).encode() for left, right in merges]
    assert file.merges(b" ") == [f"{left} {right}".encode() for left, right in merges]
    assert file.rest == _file({}, [], added)


def test_a_merge_may_be_one_text_and_its_left_part_a_space() -> None:
    file = TokenizerJson(json.dumps(_file({}, ["a b", "  c", '" \\'], [])).encode())
    assert file.merges(b"") == [b"ab", b" c", b'"\\']
    assert file.merges(b" ") == [b"a b", b"  c", b'" \\']


@pytest.mark.parametrize(
    "text",
    [
        b'{"model": {"vocab": {"a": 1}}',
        b'{"model": {"vocab": {"a": 1, "b"}}}',
        b'{"model": {"vocab": {"a": 1 "b": 2}}}',
        b'{"model": {"vocab": {"a: 1}}}',
        b'{"model": {"vocab": {"a\n": 1}}}',
        b'{"model": {"vocab": {"\\x": 1}}}',
        b'{"model": {"vocab": {"a": 1',
        b'[{"model": 1}]',
        b"",
        b'{"model": {"merges": [["a", "b"], ["c"]]}}',
        b'{"model": {"merges": [["a", "b", "c"]]}}',
        b'{"model": {"merges": [["a", "b"], "c d"]]}}',
        b'{"model": {"merges": ["ab"]}}',
        b'{"model": {"merges": [["a", "\\ud800"]]}}',
    ],
)
def test_what_is_no_json_or_no_list_of_merges_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TokenizerJson(text).merges(b"")


def _file(vocab: dict[str, int], merges: list[Any], added: list[str]) -> dict[str, Any]:
    return {
        "added_tokens": [{"id": number, "content": text} for number, text in enumerate(added)],
        "decoder": {"type": "Sequence", "decoders": []},
        "model": {"type": "BPE", "unk_token": None, "vocab": vocab, "merges": merges, "z": [[1]]},
        "post_processor": {"single": [{"id": "A"}]},
    }

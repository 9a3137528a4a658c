"""YAML by the 1.2 core rules, with the place of everything, and bounds on what a text may do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jessy_build.diagnostics import Span
from jessy_build.recipe import source, tree
from jessy_build.recipe import text as text_files
from jessy_build.recipe.source import Node

SCALARS: list[tuple[str, Any]] = [
    # text, what the core rules of YAML 1.2 make of it
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("true", True),
    ("False", False),
    ("TRue", "TRue"),
    ("1e-5", 1e-5),
    ("1e5", 100000.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("+12", 12),
    ("-0", 0),
    ("012", 12),
    ("0o14", 12),
    ("0xFF", 255),
    ("1_000", "1_000"),
    ("12:30:45", "12:30:45"),
    ("2026-11-01", "2026-11-01"),
    ("'1'", "1"),
    ('"true"', "true"),
    ("!!str 12", "12"),
    ("1.2.3", "1.2.3"),
    ("<<", "<<"),
    ("=", "="),
]


def root_of(text: str) -> Node:
    document = source.parse(text, "r.yaml")
    assert document.problems == ()
    assert document.root is not None
    return document.root


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_plain_word_is_read_by_the_core_rules(text: str, value: Any) -> None:
    found = source.plain(root_of(f"a: {text}"))["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_place_counts_characters_not_bytes() -> None:
    root = root_of("ad: 'çığ 🎯'\nyaş:   41\n")
    assert tree.span(root, ("ad",)) == Span("r.yaml", 1, 5, 12)
    assert tree.key_span(root, ("yaş",)) == Span("r.yaml", 2, 1, 4)
    assert tree.span(root, ("yaş",)) == Span("r.yaml", 2, 8, 10)


def test_lines_are_counted_as_editors_count_them() -> None:
    root = root_of("a: x\r\nb: 1\rc: 2\n\nd: 3")
    assert [tree.span(root, (name,)).line for name in "abcd"] == [1, 2, 3, 5]


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_a_separator_that_readers_disagree_on_is_refused(separator: str) -> None:
    [problem] = source.parse(f"a: 1\nb: 'x{separator}y'\n", "r.yaml").problems
    assert (problem.code, problem.span) == (text_files.NOT_TEXT, Span("r.yaml", 2, 6, 7))


def test_a_text_over_several_lines_is_placed_on_its_first() -> None:
    root = root_of("a: >-\n  one\n  two\nb: [1,\n  2]\n")
    assert tree.node(root, ("a",)).span == Span("r.yaml", 1, 4, 6)
    assert tree.node(root, ("b",)).span == Span("r.yaml", 4, 4, 7)


def test_a_single_value_is_placed_by_itself_and_a_block_by_its_name() -> None:
    root = root_of("train:\n  lora: {rank: 8}\n")
    assert tree.span(root, ("train",)) == Span("r.yaml", 1, 1, 6)
    assert tree.span(root, ("train", "lora")) == Span("r.yaml", 2, 3, 7)
    assert tree.span(root, ("train", "lora", "rank")) == Span("r.yaml", 2, 16, 17)
    assert tree.span(root, ("train", "lora", "alpha")) == Span("r.yaml", 2, 3, 7)


def test_an_alias_stands_where_it_is_written() -> None:
    root = root_of("a: &x {b: 1}\nc: *x\n")
    assert source.plain(root) == {"a": {"b": 1}, "c": {"b": 1}}
    assert tree.node(root, ("c",)).span == Span("r.yaml", 2, 4, 6)
    assert tree.node(root, ("c", "b")).span.line == 1


def test_many_small_aliases_are_fine() -> None:
    root = root_of("a: &x [1, 2]\nb: [" + ", ".join(["*x"] * 500) + "]\n")
    assert source.plain(root)["b"] == [[1, 2]] * 500


def test_all_that_can_be_passed_is_told_at_once() -> None:
    text = "a: 1\na: 2\nb:\n3: x\nc: .nan\nd: !x y\n"
    codes = [(p.code, p.span.line) for p in source.parse(text, "r.yaml").problems]
    assert codes == [
        (source.DUPLICATE, 2),
        (source.NO_VALUE, 3),
        (source.BAD_KEY, 4),
        (source.BAD_SCALAR, 5),
        (source.BAD_TAG, 6),
    ]


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "- " * 50_000, "? " * 50_000, "a: " * 50_000, "{a: " * 50_000, "&a " * 50_000],
    ids=["brackets", "dashes", "questions", "colons", "braces", "anchors"],
)
def test_endless_nesting_is_one_clear_problem(text: str) -> None:
    problems = source.parse(text, "r.yaml").problems
    assert len(problems) == 1
    assert problems[0].code in (source.TOO_DEEP, source.NOT_YAML)


def test_a_bomb_of_aliases_is_stopped_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 30):
        lines.append(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]")
    problems = source.parse("\n".join(lines), "r.yaml").problems
    assert [p.code for p in problems] == [source.TOO_DEEP]
    assert problems[0].span.line == 4


def test_aliases_cannot_nest_deeper_than_what_is_written_out() -> None:
    """Few values, but each alias stands twenty levels down in the next anchor."""
    lines = ["a0: &a0 [x]"]
    for i in range(1, 20):
        lines.append(f"a{i}: &a{i} " + "[" * 20 + f"*a{i - 1}" + "]" * 20)
    problems = source.parse("\n".join(lines), "r.yaml").problems
    assert [(p.code, p.span.line) for p in problems] == [(source.TOO_DEEP, 3)]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: b\0c", text_files.NOT_TEXT),
        (b"a: \xff", text_files.NOT_TEXT),
        (b"a: \x1b[31m", text_files.NOT_TEXT),
        ("a: b".encode("utf-16"), text_files.NOT_TEXT),
        ("a: \uffff".encode(), text_files.NOT_TEXT),
        (b"", source.NOT_ONE_MAPPING),
        (b"---\n", source.NOT_ONE_MAPPING),
        (b"just words", source.NOT_ONE_MAPPING),
        (b"# " + b"x" * text_files.MAX_BYTES, text_files.TOO_LARGE),
    ],
)
def test_a_file_that_is_no_recipe_is_told_as_one_problem(
    data: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(data)
    document = source.read(path, "r.yaml")
    assert document.root is None
    assert [p.code for p in document.problems] == [problem]


def test_a_byte_order_mark_of_utf8_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    root = source.read(path, "r.yaml").root
    assert root is not None
    assert source.plain(root) == {"a": 1}
    assert tree.span(root, ("a",)) == Span("r.yaml", 1, 4, 5)


def test_a_pipe_or_a_device_is_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "r.yaml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        assert [p.code for p in source.read(path, "r.yaml").problems] == [text_files.UNREADABLE]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=12)
JSON = st.recursive(
    st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT.filter(lambda text: "\0" not in text),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcçö .-:<"), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=100)
@given(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1, max_size=4))
def test_json_is_read_as_json_means_it(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assume(not text_files.UNPRINTABLE.search(text) and not text_files.SEPARATORS.search(text))
    document = source.parse(text, "r.yaml")
    assert document.problems == (), text
    assert document.root is not None
    assert source.plain(document.root) == value

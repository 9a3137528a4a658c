"""Rows by hand: good ones as written, bad ones with their exact place and the next move."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jessy_build import digest
from jessy_build.diagnostics import CODES, Diagnostic
from jessy_build.example import Message
from jessy_build.teachers import curated, json_places, quick, rows
from jessy_build.teachers.curated import Row
from jessy_build.teachers.rows import MAX_LINE, parse

GOOD = '{"user": "selam", "assistant": "selam!"}'


def read(tmp_path: Path, *lines: str | bytes) -> tuple[tuple[Row, ...], list[Diagnostic]]:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
    found = curated.read(path, "curated/rows.jsonl")
    return found.rows, list(found.problems)


def one(line: str | bytes) -> Diagnostic:
    """The single problem of a line."""
    row, problems = parse(line if isinstance(line, bytes) else line.encode(), file="f", number=7)
    assert row is None
    assert len(problems) == 1, problems
    assert problems[0].code in CODES
    assert (problems[0].span.file, problems[0].span.line) == ("f", 7)
    return problems[0]


def test_both_forms_of_a_row_are_the_same_conversation(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "selam"}, {"role": "assistant", "content": "selam!"}]
    rows, problems = read(tmp_path, GOOD, json.dumps({"messages": turns}))
    assert problems == []
    assert rows[0].texts == rows[1].texts == ("selam", "selam!")
    assert rows[0].messages == (Message("user", "selam"), Message("assistant", "selam!"))
    assert [(row.file, row.line) for row in rows] == [
        ("curated/rows.jsonl", 1),
        ("curated/rows.jsonl", 2),
    ]


def test_a_row_keeps_what_it_says_about_itself_and_leaves_the_rest_open(tmp_path: Path) -> None:
    said = {"category": "chat", "topic": "greetings", "language": "tr", "complexity": "low"}
    (full, bare), problems = read(
        tmp_path, json.dumps({**json.loads(GOOD), **said, "iterations": 2}), GOOD
    )
    assert problems == []
    assert {key: getattr(full, key) for key in said} == said
    assert full.iterations == 2
    assert (bare.category, bare.topic, bare.language, bare.complexity) == (None, "", "", "")
    assert bare.iterations is None


def test_texts_are_kept_as_they_were_written(tmp_path: Path) -> None:
    text = "  ğüşiöç İI\u2028🎯 \t"
    line = json.dumps({"user": text, "assistant": text}, ensure_ascii=False)
    (row,), problems = read(tmp_path, line)
    assert problems == []
    assert row.texts == (text, text)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    rows, problems = read(tmp_path, b"\xef\xbb\xbf" + GOOD.encode() + b"\r", "", "  \r", GOOD, "")
    assert problems == []
    assert [row.line for row in rows] == [1, 4]


CASES = [
    # line, code, columns, problem, expected, got, hint
    (
        '{"user": "a", "assistent": "b"}',
        "D106", (15, 26), "unknown key 'assistent'",
        "category, topic, language, complexity, iterations, messages, user, assistant",
        "", "did you mean 'assistant'?",
    ),
    (
        '{"user": "a", "assistant": "b", "mood": 1}',
        "D106", (33, 39), "unknown key 'mood'",
        "category, topic, language, complexity, iterations, messages, user, assistant", "", "",
    ),
    (
        '  {"user": "a"}',
        "D108", (3, 16), "the row has no 'assistant'",
        '"user" and "assistant", or "messages": [{"role": "user", "content": ...}, ...]', "", "",
    ),
    (
        '{"topic": "x"}',
        "D108", (1, 15), "the row has no 'messages'",
        '"user" and "assistant", or "messages": [{"role": "user", "content": ...}, ...]', "", "",
    ),
    ('{"messages": []}', "D108", (14, 16), "'messages' is empty", "", "[]", ""),
    (
        '{"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}',
        "D108", (15, 31), "message 1 has no 'content'", "", "", "",
    ),
    (
        '{"messages": [{"content": "a"}, {"role": "assistant", "content": "b"}]}',
        "D108", (15, 31), "message 1 has no 'role'", "", "", "",
    ),
    (
        '{"messages": [{"rol": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        "D106", (16, 21), "unknown key 'rol'", "role, content", "", "did you mean 'role'?",
    ),
    (
        '{"messages": {"role": "user"}}',
        "D109", (14, 30), "'messages' must be a list of messages",
        "a list of messages", "an object", "",
    ),
    (
        '{"messages": ["a", {"role": "assistant", "content": "b"}]}',
        "D109", (15, 18), '\'messages[0]\' must be {"role": ..., "content": ...}',
        '{"role": ..., "content": ...}', "'a'", "",
    ),
    (
        '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}',
        "D110", (58, 64), "message 2 must be the assistant's", "assistant", "'user'",
        "roles alternate: user, assistant, user, assistant, ...",
    ),
    (
        '{"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}',
        "D110", (24, 32), "message 1 must be the user's", "user", "'system'",
        "the system text stands in the recipe, as persona.system",
    ),
    (
        '{"messages": [{"role": "user", "content": "a"}]}',
        "D110", (24, 30),
        "the last message must be the assistant's: its answer is what is trained",
        "assistant", "user", "",
    ),
    (
        '{"messages": [{"role": null, "content": "a"}, {"role": "assistant", "content": "b"}]}',
        "D110", (24, 28), "message 1 must be the user's", "user", "null",
        "roles alternate: user, assistant, user, assistant, ...",
    ),
    ('{"user": " \\n", "assistant": "b"}', "D111", (10, 15), "'user' is empty", "a text", "", ""),
    (
        '{"user": "a", "assistant": ["b"]}',
        "D109", (28, 33), "'assistant' must be a text", "a text", "a list", "",
    ),
    (
        '{"user": "a", "assistant": "b", "topic": 5}',
        "D109", (42, 43), "'topic' must be a text that is not empty",
        "a text that is not empty", "5", "",
    ),
    (
        '{"user": "a", "assistant": "b", "iterations": true}',
        "D109", (47, 51), "'iterations' must be a whole number from 1",
        "a whole number from 1", "true", "",
    ),
    (
        '{"user": "a", "assistant": "b", "iterations": 0}',
        "D109", (47, 48), "'iterations' must be a whole number from 1",
        "a whole number from 1", "0", "",
    ),
    (
        '{"user": "\\ud83d", "assistant": "b"}',
        "D112", (10, 18), "'user' holds half a character (a lone \\ud8xx escape)", "", "",
        "write the character itself, or both halves of its escape",
    ),
    (
        '{"user": "a", "user": "b", "assistant": "c"}',
        "D107", (15, 21), "'user' is written twice in one object", "", "", "keep one of them",
    ),
    (
        '[{"user": "a", "assistant": "b"}]',
        "D105", (1, 34), "a row must be a JSON object", "{...}", "a list",
        "write each row on a line of its own",
    ),
    (' 12', "D105", (2, 4), "a row must be a JSON object", "{...}", "12", ""),
    (
        "{'user': 'a'}",
        "D103", (2, 3), "not JSON: expecting property name enclosed in double quotes",
        "", "\"'user': 'a'}\"", "JSON quotes with \", not with '",
    ),
    (
        GOOD + GOOD,
        "D103", (41, 42), "not JSON: extra data", "", repr(GOOD),
        "one row a line: put the next one on a line of its own",
    ),
    (
        '{"user": "ığüş',
        "D103", (10, 11), "not JSON: unterminated string starting at", "", "'\"ığüş'",
        "a row must end on the line it began on; a line break in a text is \\n",
    ),
    ('{"user": NaN}', "D103", (1, 2), "NaN is no JSON value", "", "", ""),
    (
        '{"iterations": ' + "9" * 5000 + "}",
        "D103", (1, 2), "a number has too many digits", "", "", "",
    ),
    ("[" * 100_000, "D103", (1, 2), "the line is nested too deeply", "", "", ""),
    (
        '{"user": "ı'.encode() + b'\xfe"}',
        "D102", (12, 13), "byte 0xfe is no UTF-8", "UTF-8", "",
        "save the file as UTF-8 (old Turkish files are often windows-1254)",
    ),
    (
        "x" * (MAX_LINE + 1),
        "D104", (1, 2), "the line is longer than 1024 kB", "one row a line", "",
        "a JSON list is no JSONL: write each row on a line of its own",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "columns", "problem", "expected", "got", "hint"),
    CASES,
    ids=[f"{case[1]} {case[3][:40]}" for case in CASES],
)
def test_a_bad_line_is_told_with_its_place_and_the_next_move(
    line: str | bytes,
    code: str,
    columns: tuple[int, int],
    problem: str,
    expected: str,
    got: str,
    hint: str,
) -> None:
    told = one(line)
    assert (told.code, told.problem, told.expected) == (code, problem, expected)
    assert (told.got, told.hint) == (got, hint)
    assert (told.span.column, told.span.end_column) == columns


def test_all_problems_of_a_row_are_told_at_once() -> None:
    line = '{"messages": [{"role": "user", "content": ""}], "topik": "x", "iterations": "2"}'
    _, problems = parse(line.encode(), file="f", number=1)
    assert [problem.code for problem in problems] == ["D106", "D111", "D110", "D109"]


def test_both_forms_in_one_row_are_told() -> None:
    _, problems = parse(b'{"user": "a", "assistant": "b", "messages": []}', file="f", number=1)
    assert problems[0].problem == "a row has 'messages' or 'user', not both"
    assert problems[0].span.column == 2


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    rows, problems = read(tmp_path, GOOD, "{", b"x" * (3 * MAX_LINE), b"\xff", GOOD)
    assert [row.line for row in rows] == [1, 5]
    assert [problem.span.line for problem in problems] == [2, 3, 4]


def test_a_file_of_another_kind_does_not_flood_the_screen(tmp_path: Path) -> None:
    _, problems = read(tmp_path, *["{}"] * 500)
    assert len(problems) == curated.SHOWN + 1
    assert problems[-1].code == "D199"
    assert problems[-1].problem == "480 more problems in curated/rows.jsonl, from line 21 on"


def test_a_file_with_too_many_problems_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"question;answer\n" * 5000)
    found = curated.read(path, "rows.jsonl")
    assert found.sha256 is None
    assert found.problems[-1].problem == "at least 980 more problems in rows.jsonl, from line 21 on"


def test_a_row_with_endless_problems_is_told_in_part(tmp_path: Path) -> None:
    line = json.dumps({"messages": [1] * 300_000})
    _, problems = read(tmp_path, line)
    assert len(problems) == curated.SHOWN + 1
    assert problems[-1].problem == "at least 80 more problems in curated/rows.jsonl, from line 1 on"


def test_the_digest_is_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\n" + GOOD.encode())
    assert curated.read(path, "rows.jsonl").sha256 == digest.of_file(path)


def test_rows_have_a_digest_of_all_they_say_but_not_of_their_place() -> None:
    full = Row(("a", "b"), "f", 1, "c", "t", "tr", "low", 2)
    same = full._replace(file="g", line=9, category=None)
    others = [
        full._replace(texts=("a", "c")),
        full._replace(texts=("a", "b", "a", "b")),
        full._replace(topic="u"),
        full._replace(language="en"),
        full._replace(complexity="high"),
        full._replace(iterations=None),
    ]
    assert rows.digest_of([same], "c") == rows.digest_of([full], "c")
    digests = {rows.digest_of([row], "c") for row in [full, *others]}
    digests |= {rows.digest_of([full], "d"), rows.digest_of([full, full], "c")}
    digests |= {rows.digest_of([others[0], full], "c"), rows.digest_of([full, others[0]], "c")}
    assert len(digests) == len(others) + 5
    many = [full._replace(topic=str(number)) for number in range(2500)]
    assert rows.digest_of(many, "c") == rows.digest_of(iter(many), "c")
    assert rows.digest_of(many, "c") != rows.digest_of(many[:-1], "c")


def test_a_file_that_cannot_be_read_is_a_problem_like_another(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        tmp_path / "none": "no such file or directory",
        tmp_path: "is a directory",
        tmp_path / "pipe": "this is no plain file",
        Path("/dev/zero"): "this is no plain file",
    }
    for path, reason in reasons.items():
        found = curated.read(path, "rows.jsonl")
        assert (found.rows, found.sha256) == ((), None)
        assert [(p.code, p.problem) for p in found.problems] == [
            ("D101", f"the file cannot be read: {reason}")
        ]


READ_QUICKLY = [
    GOOD,
    GOOD + "\n",
    GOOD + "\r\n",
    '{"assistant":"ş","user":"ı"}',
    '{"user": "\\u0131\\ud83c\\udfaf", "assistant": "\\"\\\\"}',
    '{"user": "a", "assistant": "b", "category": "c", "topic": "t", "language": "tr", '
    '"complexity": "low", "iterations": 3}',
    '{"messages": [{"role": "user", "content": "a"}, {"content": "b", "role": "assistant"}]}',
]


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no finding."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["messages", "user", "assistant", "topic", "iterations", "usr", "language"])
TURN = st.dictionaries(
    st.sampled_from(["role", "content", "rol"]), st.sampled_from(["user", "assistant", "", 1])
)


@calm
@given(st.dictionaries(KEYS, JSON | st.lists(TURN | JSON, max_size=4)))
def test_whatever_json_a_row_holds_it_is_a_row_or_has_reasons(value: object) -> None:
    line = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    row, problems = parse(line, file="f", number=1)
    assert (row is None) == bool(problems)
    for problem in problems:
        assert 1 <= problem.span.column < problem.span.end_column <= len(line) + 2


@calm
@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]":,\\u0d8" \tauser1', max_size=40).map(str.encode)
)
def test_whatever_bytes_a_line_holds_there_is_no_traceback(line: bytes) -> None:
    row, problems = parse(line, file="f", number=1)
    assert (row is None) == bool(problems)


@calm
@given(JSON.filter(lambda value: isinstance(value, dict | list)), st.sampled_from([None, 1, " \t"]))
def test_places_are_where_the_values_stand(value: object, indent: object) -> None:
    line = json.dumps(value, indent=indent, ensure_ascii=True).replace("\n", " ")  # type: ignore[arg-type]
    for path, found in everything_in(value, ()):
        place = json_places.value(line, path)
        assert json.loads(line[place.column - 1 : place.end - 1]) == found
        if path and isinstance(path[-1], str):
            place = json_places.key(line, path)
            assert json.loads(line[place.column - 1 : place.end - 1]) == path[-1]
        assert json_places.value(line, (*path, "not there")) == json_places.value(line, path)


def everything_in(
    value: object, path: json_places.Path
) -> Iterator[tuple[json_places.Path, object]]:
    yield path, value
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        yield from everything_in(item, (*path, key))


@calm
@given(st.text(max_size=30), st.lists(st.text(max_size=3) | st.integers(0, 3), max_size=3))
def test_a_line_that_is_no_json_any_more_has_a_place_too(line: str, path: list[str | int]) -> None:
    """Between the first reading of a file and the second, anything may have been written to it."""
    for place in (json_places.value(line, tuple(path)), json_places.key(line, (*path, "user"))):
        assert 1 <= place.column < place.end <= len(line) + 2
    json_places.repeated(line)


ROW = st.fixed_dictionaries(
    {
        "user": st.text(max_size=4),
        "assistant": st.sampled_from(["a", " ", '\\"', "\ud800", 1, None]),
    },
    optional={
        "category": st.sampled_from(["c", "", "\u2003", None, ["c"]]),
        "topic": st.text(max_size=2),
        "language": st.sampled_from(["tr", "\ud800", 5]),
        "iterations": st.sampled_from([1, 2, 0, True, 1.0, None]),
    },
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=3)},
        optional={"name": st.just("x")},
    ),
    max_size=4,
)


@calm
@given(
    ROW | st.builds(lambda row, turns: {**row, "messages": turns}, st.just({}) | ROW, TURNS),
    st.booleans(),
    st.sampled_from(["", " ", "\n", "\r\n", "\n\n", "x", '"', "\\"]),
    st.data(),
)
def test_what_is_read_quickly_is_what_is_read_carefully(
    row: dict[str, object], escaped: bool, end: str, data: st.DataObject
) -> None:
    text = json.dumps(row, ensure_ascii=escaped)
    # A key said twice, a quote too many, a brace too few: one change anywhere.
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.sampled_from(["", "", '"user": "x", ', "\\", '"'])) + text[at:]
    line = (text + end).encode("utf-8", "surrogatepass")
    quickly = quick.row(line, "f", 1, quick.Labels())
    carefully, _ = parse(line, file="f", number=1)
    assert quickly in (None, carefully)


@pytest.mark.parametrize("line", READ_QUICKLY)
def test_a_right_line_is_read_quickly(line: str) -> None:
    """However its JSON is written: else a file of such lines would take many times as long."""
    row = quick.row(line.encode(), "f", 1, quick.Labels())
    assert row is not None
    assert row == parse(line.encode(), file="f", number=1)[0]


@pytest.mark.parametrize("value", [{"kind": "curated", "files": []}, {"kind": "x", "files": ["a"]}])
def test_a_list_of_curated_files_is_not_empty(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        curated.Config.model_validate_json(json.dumps(value))

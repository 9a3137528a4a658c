"""What a format writes it reads back; what is no row of it is told with its place, in bounds."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jessy_build import formats
from jessy_build.commands import export
from jessy_build.example import Message
from jessy_build.formats.reading import Meant, Read, Reading
from jessy_build.formats.writing import COLUMNS, Out
from jessy_build.recipe.model import Include
from jessy_build.teachers.rows import TURNS, Row

SYSTEM = 'You are\u2028"Ada".'
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
label = text.filter(lambda some: not some.isspace())


def rows(most_pairs: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    pairs = st.integers(1, most_pairs).flatmap(
        lambda count: st.lists(text, min_size=2 * count, max_size=2 * count)
    )
    labels = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("topic", "language", "complexity"), label),
            "iterations": st.integers(1, 10**9),
        },
    )
    return st.lists(st.tuples(pairs, labels), max_size=5)


def read(path: Path, form: str, **meant: Any) -> Read:
    return formats.named(form).read(Reading(path, path.name, Meant("talk", **meant)))


def of(tmp_path: Path, form: str, content: str | bytes, **meant: Any) -> Read:
    path = tmp_path / "rows.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, form, **meant)


def told(read: Read) -> list[str]:
    return [f"{p.span.line}:{p.span.column} {p.problem}" for p in read.problems]


def test_the_table_the_recipe_and_the_command_name_the_same_formats() -> None:
    names = set(get_args(Include.model_fields["format"].annotation))
    assert names == set(formats.FORMATS) == set(export.FORMS)


@pytest.mark.parametrize("form", formats.FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_what_was_written_is_read_back(tmp_path: Path, form: str, data: st.DataObject) -> None:
    written = data.draw(rows(1 if form == "completions" else 3))
    out = [
        Out(
            (
                Message("system", SYSTEM),
                *(Message(TURNS[n % 2], said) for n, said in enumerate(texts)),
            ),
            {"id": "x", "category": "other", **labels, "source": "rows.jsonl:1"},
        )
        for texts, labels in written
    ]
    formats.named(form).write(tmp_path, {"train": iter(out)}, COLUMNS)
    (path,) = tmp_path.glob("train.*")
    back = read(path, form, system=SYSTEM)
    assert not back.problems and back.sha256
    assert list(back.rows) == [
        Row(tuple(texts), path.name, number, "talk", **labels)
        for number, (texts, labels) in enumerate(written, start=1)
    ]
    path.unlink()


TURNS_OF_ONE = [{"from": "human", "value": "a"}, {"from": "jessy", "value": "b"}]
ONE: dict[str, Any] = {"conversations": TURNS_OF_ONE, "metadata": {"topic": "old"}}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "count"),
    [
        ([ONE, ONE, ONE], 3),
        (ONE, 1),
        ({"version": 2, "conversations": [ONE, ONE]}, 2),
        ({"conversations": [TURNS_OF_ONE, TURNS_OF_ONE]}, 2),
        ([TURNS_OF_ONE], 1),
        ([], 0),
    ],
)
def test_conversations_stand_in_files_of_many_shapes(
    tmp_path: Path, value: Any, count: int, indent: int | None
) -> None:
    found = of(tmp_path, "conversations", json.dumps(value, indent=indent))
    assert not found.problems
    assert [row.texts for row in found.rows] == [("a", "b")] * count
    assert [row.line for row in found.rows] == list(range(1, count + 1))


def test_an_object_around_a_list_may_be_longer_than_any_row(tmp_path: Path) -> None:
    long = {"conversations": [{"from": "human", "value": "a" * 1000}, *TURNS_OF_ONE[1:]]}
    many = json.dumps({"about": {"of": []}, "conversations": [long] * 6000})
    assert len(many) > 5 << 20
    found = of(tmp_path, "conversations", many)
    assert not found.problems and len(found.rows) == 6000


def test_a_row_says_its_labels_or_the_block_does(tmp_path: Path) -> None:
    says = {"conversations": [TURNS_OF_ONE[0], {**TURNS_OF_ONE[1], "metadata": {"language": "tr"}}]}
    content = json.dumps([{**says, "topic": "a"}, ONE])
    block = {"topic": "t", "language": "en", "complexity": "low"}
    labels = [
        [(row.topic, row.language, row.complexity) for row in of(tmp_path, *given).rows]
        for given in (("conversations", content),)
    ]
    assert labels == [[("a", "tr", ""), ("old", "", "")]]
    found = of(tmp_path, "conversations", content, **block)
    assert [(r.topic, r.language) for r in found.rows] == [("a", "tr"), ("old", "en")]
    found = of(tmp_path, "conversations", content, **block, own_labels=False)
    assert [(r.topic, r.language) for r in found.rows] == [("t", "en"), ("t", "en")]


DEEP = "[" * 200_000
LONG = '[{"conversations": [{"from": "human", "value": "' + "x" * (5 << 20) + '"}]}]'


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"[\n\0]", ["2:1 not JSON: expecting value"]),
        (b'[\n"\xff"]', ["2:2 byte 0xff is no UTF-8"]),
        (DEEP, ["1:2 it is nested too deeply"]),
        (LONG, ["1:2 one row is longer than 4 million characters"]),
        ("[1" + "0" * 5000 + "]", ["1:2 a number has too many digits"]),
        ("[NaN]", ["1:2 NaN is no JSON value"]),
        ('[{"a": 1,\n"a": 2}]', ["2:1 'a' is written twice in one object"]),
        ('[{"conversations": []}', [None, "1:23 not JSON: the file ends too soon"]),
        ('[{"conversations": 1}]', ["1:20 'conversations' must be a list of turns"]),
        ("{", ["1:2 not JSON: the file ends too soon"]),
        ("[] []", ["1:4 the file goes on behind its end"]),
    ],
)
def test_an_odd_file_is_told_with_its_place(
    tmp_path: Path, content: str | bytes, where: list[str | None]
) -> None:
    found = of(tmp_path, "conversations", content)
    assert not found.rows
    lines = told(found)
    assert len(lines) == len(where)
    assert all(want in (None, line) for want, line in zip(where, lines, strict=True)), lines


def test_a_file_of_another_kind_is_told_in_short(tmp_path: Path) -> None:
    found = of(tmp_path, "conversations", "[" + "{},\n" * 100_000 + "{}]")
    assert len(found.problems) == 21 and "at least" in found.problems[-1].problem
    assert of(tmp_path, "chat", b"\0" * (3 << 20)).problems[0].code == "D104"


def test_half_a_character_and_an_unknown_role_are_told(tmp_path: Path) -> None:
    turns = '{"role": "user", "content": "a"}, {"role": "%s", "content": "%s"}'
    line = '{"messages": [' + turns + "]}\n"
    assert told(of(tmp_path, "chat", line % ("assistant", "\\ud83d"))) == [
        "1:82 'messages[1].content' holds half a character (a lone \\ud8xx escape)"
    ]
    assert told(of(tmp_path, "chat", line % ("tool", "b"))) == ["1:58 turn 2 is by an unknown role"]


def test_a_pipe_or_a_folder_is_no_file(tmp_path: Path) -> None:
    assert told(read(tmp_path, "chat")) == ["1:1 the file cannot be read: is a directory"]

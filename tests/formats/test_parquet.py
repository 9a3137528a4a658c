"""Parquet in and out: what it looks like to others, what is read of theirs, and damage in it."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arro3.core as core
import arro3.io as aio
import pytest
import yaml

from jessy_build import formats
from jessy_build.diagnostics import MissingPackage
from jessy_build.example import Message
from jessy_build.formats.reading import Meant, Read, Reading
from jessy_build.formats.writing import COLUMNS, Out

TURNS = [{"role": "user", "content": "naber"}, {"role": "assistant", "content": "iyi 😀"}]
TEXT = core.DataType.string()


def out(count: int) -> list[Out]:
    return [
        Out(
            (Message("user", f"naber {n}"), Message("assistant", "iyi 😀")),
            {"id": f"{n}", "language": "tr"} | ({"iterations": n} if n % 2 else {}),
        )
        for n in range(count)
    ]


def written(folder: Path, train: int, valid: int, columns: Sequence[str] = COLUMNS) -> Path:
    splits = {"train": iter(out(train)), "valid": iter(out(valid))}
    formats.named("parquet").write(folder, splits, columns)
    return folder


def read(path: Path) -> Read:
    return formats.named("parquet").read(Reading(path, path.name, Meant("talk")))


def put(path: Path, schema: Any, *rows: dict[str, Any], **options: Any) -> Path:
    """A file as another tool would write it."""
    import io
    import json

    lines = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())
    write = aio.write_ipc_stream if path.suffix == ".arrow" else aio.write_parquet
    write(aio.read_json(lines, schema), path, **options)
    return path


def schema(**columns: Any) -> Any:
    return core.Schema([core.Field(name, kind) for name, kind in columns.items()])


def turns(role: str = "role", text: str = "content") -> Any:
    turn = core.DataType.struct([core.Field(role, TEXT), core.Field(text, TEXT)])
    return core.DataType.list(core.Field("item", turn))


# Out


def test_others_find_typed_columns_and_which_file_is_which_split(tmp_path: Path) -> None:
    written(tmp_path, 20, 3)
    table = aio.read_parquet(tmp_path / "train.parquet").read_all()
    assert table.num_rows == 20 and table.schema.names == [*COLUMNS, "messages"]
    assert core.DataType.is_integer(table.schema.field("iterations").type)
    assert table["iterations"].to_pylist()[:4] == [None, 1, None, 3]
    card = (tmp_path / "README.md").read_text("utf-8")
    _, header, _ = card.split("---\n")
    (config,) = yaml.safe_load(header)["configs"]
    assert config["data_files"] == [
        {"split": "train", "path": "train.parquet"},
        {"split": "validation", "path": "valid.parquet"},
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("train.parquet", "valid.parquet", "README.md")
    }


def test_a_split_without_rows_is_a_file_and_no_split(tmp_path: Path) -> None:
    written(tmp_path, 4, 0)
    assert aio.read_parquet(tmp_path / "valid.parquet").read_all().num_rows == 0
    assert "valid" not in (tmp_path / "README.md").read_text("utf-8")


def test_columns_that_nobody_asked_for_are_not_there(tmp_path: Path) -> None:
    splits = {"train": iter([Out(row.messages, {}) for row in out(2)])}
    formats.named("parquet").write(tmp_path, splits, ())
    assert aio.read_parquet(tmp_path / "train.parquet").schema.names == ["messages"]


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = written(tmp_path / "a", 50, 5), written(tmp_path / "b", 50, 5)
    assert (one / "train.parquet").read_bytes() == (two / "train.parquet").read_bytes()


# In


@pytest.mark.parametrize("file", ["rows.parquet", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({"messages": turns()}, {"messages": TURNS}),
        (
            {"conversations": turns("from", "value")},
            {"conversations": [{"from": "human", "value": "naber"},
                               {"from": "gpt", "value": "iyi 😀"}]},
        ),
        ({"prompt": TEXT, "completion": TEXT}, {"prompt": "naber", "completion": "iyi 😀"}),
    ],
)  # fmt: skip
def test_rows_of_other_tools_are_read_by_their_columns(
    tmp_path: Path, file: str, columns: dict[str, Any], row: dict[str, Any]
) -> None:
    beside = {"topic": TEXT, "iterations": core.DataType.float64(), "score": core.DataType.binary()}
    path = put(
        tmp_path / file,
        schema(**columns, **beside),
        {**row, "topic": "selam", "iterations": 2.0},
        {**row, "topic": None, "iterations": None},
    )
    found = read(path)
    assert not found.problems and found.mark == "#"
    assert [row.texts for row in found.rows] == [("naber", "iyi 😀")] * 2
    assert [(row.topic, row.iterations, row.line) for row in found.rows] == [
        ("selam", 2, 1),
        ("", None, 2),
    ]


@pytest.mark.parametrize(
    "compression", ["uncompressed", "snappy", "gzip(6)", "zstd(3)", "brotli(1)"]
)
def test_whatever_it_is_packed_with(tmp_path: Path, compression: str) -> None:
    rows = [{"messages": TURNS}] * 3000
    path = put(tmp_path / "a.parquet", schema(messages=turns()), *rows, compression=compression)
    found = read(path)
    assert len(found.rows) == 3000 and found.rows[-1].line == 3000


def test_a_row_that_is_none_is_told_by_its_number(tmp_path: Path) -> None:
    rows = [{"messages": TURNS}, {"messages": TURNS[:1]}, {"messages": None}, {"messages": TURNS}]
    found = read(put(tmp_path / "a.parquet", schema(messages=turns()), *rows))
    told = [(p.span.line, p.problem) for p in found.problems]
    assert told == [
        (2, "the last turn must be the assistant's: its answer is what is trained"),
        (3, "the row has no 'messages'"),
    ]
    reading = Reading(tmp_path / "a.parquet", "a.parquet", Meant("talk"))
    again = formats.named("parquet").again(reading, 2)
    assert again and again.value == {"messages": TURNS[:1]}


def test_a_file_without_conversations_says_what_it_has(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.parquet", schema(text=TEXT, label=TEXT), {"text": "x"}))
    (problem,) = found.problems
    assert "no column that holds a conversation" in problem.problem
    assert problem.got == "'text, label'" and "prompt and completion" in problem.expected
    assert found.sha256 is None


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    for data in (b"", b"PAR1", b'{"messages": []}\n', b"\xff\xff\xff\xff"):
        (tmp_path / "a.parquet").write_bytes(data)
        (problem,) = read(tmp_path / "a.parquet").problems
        assert problem.code == "D101" and "cannot be read" in problem.problem
    (problem,) = read(tmp_path / "none.parquet").problems
    assert "no such file" in problem.problem


@pytest.mark.parametrize("file", ["rows.parquet", "rows.arrow"])
def test_a_damaged_file_is_told_and_ends_nobody(
    tmp_path: Path, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library panics, or ends its process: tried by hand, one in some ten did."""
    rows = [{"messages": TURNS, "topic": f"t{n}"} for n in range(40)]
    path = put(tmp_path / file, schema(messages=turns(), topic=TEXT), *rows)
    whole, dice, told = path.read_bytes(), random.Random(7), 0
    for number in range(24):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged[: dice.randrange(len(damaged))] if number % 4 else damaged)
        found = read(path)
        told += any(p.code == "D101" for p in found.problems)
        assert len(found.rows) <= 40
    assert told > 15
    assert capfd.readouterr() == ("", "")


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, 1, 1) / "train.parquet"
    monkeypatch.setitem(sys.modules, "arro3", None)
    for use in (lambda: read(path), lambda: written(tmp_path, 1, 1)):
        with pytest.raises(MissingPackage) as caught:
            use()
        assert "arro3-io" in caught.value.problem and "jessy-build[parquet]" in caught.value.hint


def test_nobody_loads_it_who_names_no_such_file() -> None:
    code = (
        "import sys; from jessy_build.recipe import checks; from jessy_build import formats;"
        "formats.named('chat'); sys.exit('arro3' in sys.modules or 'subprocess' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_long_file_is_not_read_to_its_end_where_all_is_wrong(tmp_path: Path) -> None:
    rows = [{"messages": TURNS[:1]}] * 5000
    path = put(tmp_path / "a.parquet", schema(messages=turns()), *rows)
    found = read(path)
    assert found.sha256 is None and len(found.problems) == 21

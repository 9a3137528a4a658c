"""Parquet, as Hugging Face's `load_dataset` takes it, and the Arrow files of `save_to_disk`.

Arrow's own package is five times as large as all that the rest of us needs, so arro3 reads and
writes them: the Rust implementation in 33 MB. It is loaded only where such a file is named.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from jessy_build.diagnostics import Diagnostic, MissingPackage, Span
from jessy_build.formats import _columns, shape, writing
from jessy_build.formats.reading import INDEX, Again, Meant, Read, Reading, Spans, Wrong
from jessy_build.formats.shape import CHAT, CONVERSATIONS, LABELS
from jessy_build.formats.writing import COLUMNS, SCORE, Splits
from jessy_build.teachers import curated, json_places, rows
from jessy_build.teachers.rows import Row

Shape = Callable[[Any, tuple[str, int], Meant], Row | list[Wrong]]
SHAPES: Mapping[tuple[str, ...], Shape] = {
    (CHAT.turns,): partial(shape.conversation, CHAT),
    (CONVERSATIONS.turns,): partial(shape.conversation, CONVERSATIONS),
    (shape.PROMPT, shape.COMPLETION): shape.completion,
}
"""Columns that hold a row; the first ones that a file has are read."""
BESIDE = (*LABELS, "iterations", "metadata")
"""What may stand beside them. Other columns are never decoded."""
LONGEST_REASON = 120
CARD = "README.md"
"""Tells Hugging Face which file is which split; without it they would be guessed."""
NAMES = {"train": "train", "valid": "validation"}


class Found(NamedTuple):
    value: dict[str, Any]
    number: int
    shape: Shape


class NoRows(Exception):
    """A file that opens, and holds nothing that we read."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self.columns = columns


class Damaged(Exception):
    """A file that cannot be read to its end."""

    def __init__(self, reason: str) -> None:
        super().__init__(shorten(reason, LONGEST_REASON, placeholder="…"))


# Reading


def content(reading: Reading) -> tuple[bytes, str]:
    """A whole file and its sha256; OSError where it cannot be read."""
    hashed = curated.Hashed(reading.path)
    with BufferedReader(hashed, 1 << 20) as file:
        return file.read(), hashed.sha256.hexdigest()


def found(data: bytes) -> Iterator[Found]:
    """Through a program of its own, since a damaged file may end whoever reads it."""
    _must_be_here("reading Parquet")
    columns = (name for names in (*SHAPES, BESIDE) for name in names)
    command = [sys.executable, "-P", str(Path(_columns.__file__)), *columns]
    none, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=none) as program:
        try:
            yield from _found(program, data)
        finally:
            program.kill()


def _found(program: "subprocess.Popen[bytes]", data: bytes) -> Iterator[Found]:
    assert program.stdin and program.stdout
    with suppress(BrokenPipeError), program.stdin as stdin:
        # All of it is read there before the first line is written.
        stdin.write(data)
    values = map(_value, program.stdout)
    named = next(values, None)
    holds = None
    if isinstance(named, list):
        holds = next((columns for columns in SHAPES if set(columns) <= set(named)), None)
        if holds is None:
            raise NoRows(named)
    elif named is not None:
        raise Damaged(named)
    for number, value in enumerate(values, start=1):
        if isinstance(value, str):
            raise Damaged(value)
        yield Found(_whole(value), number, SHAPES[holds or ()])
    if program.wait():
        raise Damaged("damaged")


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        # The program ended amid a line.
        raise Damaged("damaged") from None


def _whole(value: dict[str, Any]) -> dict[str, Any]:
    """A column of numbers with gaps in it holds fractions, as pandas writes it."""
    number = value.get("iterations")
    if isinstance(number, float) and number.is_integer():
        value["iterations"] = int(number)
    return value


def read(reading: Reading) -> Read:
    reading.mark = INDEX
    try:
        data, sha256 = content(reading)
        with curated.nothing_collected():
            for value, number, shaped in found(data):
                row = shaped(value, (reading.name, number), reading.meant)
                reading.take(row, _span(reading, number))
                if reading.given_up:
                    break
    except OSError as error:
        return reading.unreadable((error.strerror or str(error)).lower())
    except Damaged as error:
        return reading.unreadable(str(error))
    except NoRows as error:
        reading.stop(_no_rows(reading, error.columns))
        return reading.read("")
    return reading.read(sha256)


def again(reading: Reading, number: int) -> Again | None:
    try:
        data, _ = content(reading)
        one = next((one for one in found(data) if one.number == number), None)
    except (OSError, Damaged, NoRows):
        return None
    return Again(one.value, _span(reading, number)) if one else None


def _span(reading: Reading, number: int) -> Spans:
    """Such a file has rows and no lines: the number is the row's."""

    def span(path: json_places.Path) -> Span:
        return Span(reading.name, number, 1, 2)

    return span


def _no_rows(reading: Reading, columns: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        rows.NO_MESSAGES,
        Span(reading.name, 1, 1, 2),
        "",
        "the file has no column that holds a conversation",
        expected="messages, or conversations, or prompt and completion",
        got=rows.excerpt(", ".join(columns) or "no columns"),
    )


# Writing


def write(folder: Path, splits: Splits, columns: Sequence[str]) -> None:
    _must_be_here("writing Parquet")
    import arro3.core as core
    import arro3.io as aio

    schema = _schema(core, columns)
    lines = folder / ".rows.jsonl"
    filled = []
    for split, out in splits.items():
        writing.jsonl(folder, {lines.stem: out}, writing.chat)
        filled += [split] if lines.stat().st_size else []
        made = aio.read_json(lines, schema, batch_size=_columns.AT_ONCE)
        aio.write_parquet(made, folder / f"{split}.parquet", compression="snappy")
    lines.unlink()
    (folder / CARD).write_text(_card(filled), encoding="utf-8")


def _card(splits: Sequence[str]) -> str:
    """A split without rows is none to Hugging Face, which would refuse all others along with it."""
    files = [f"      - split: {NAMES[s]}\n        path: {s}.parquet\n" for s in splits]
    return f"---\nconfigs:\n  - config_name: default\n    data_files:\n{''.join(files)}---\n"


def _schema(core: Any, columns: Sequence[str]) -> Any:
    text, number = core.DataType.string(), core.DataType.int64()
    turn = core.DataType.struct([core.Field("role", text), core.Field("content", text)])
    kinds = dict.fromkeys(COLUMNS, text) | {"iterations": number}
    kinds |= {name: number for name in columns if name.startswith(SCORE)}
    beside = [core.Field(name, kinds[name]) for name in columns]
    turns = core.DataType.list(core.Field("element", turn))
    return core.Schema([*beside, core.Field("messages", turns)])


def _must_be_here(use: str) -> None:
    if importlib.util.find_spec("arro3") is None:
        raise MissingPackage(
            "arro3-io", needed_for=use, install="uv pip install 'jessy-build[parquet]'"
        )

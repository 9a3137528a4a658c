"""Rows on their way out of the data set, and JSON files of them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from jessy_build.example import Message

LABELS = ("topic", "language", "complexity", "iterations")
COLUMNS = ("id", "category", *LABELS, "teacher", "source")
"""What may stand beside the messages of a row. The labels are read back by `dataset.include`."""
SCORE = "score_"
"""Begins the names of further columns: a judge's scores, whole numbers, by criterion."""


class Out(NamedTuple):
    messages: tuple[Message, ...]
    columns: Mapping[str, Any]
    """Those that were asked for, without those that the row has nothing for."""


Splits: TypeAlias = Mapping[str, Iterator[Out]]
Value = Callable[[Out], dict[str, Any]]


def jsonl(folder: Path, splits: Splits, value: Value) -> None:
    for split, rows in splits.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(_line(value(row)) + "\n")


def json_list(folder: Path, splits: Splits, value: Value) -> None:
    """One list, a row a line: people look into such files, and diffs go by lines."""
    for split, rows in splits.items():
        with (folder / f"{split}.json").open("w", encoding="utf-8", newline="\n") as file:
            before = "[\n"
            for row in rows:
                file.write(before + _line(value(row)))
                before = ",\n"
            file.write("[]\n" if before == "[\n" else "\n]\n")


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def chat(row: Out) -> dict[str, Any]:
    messages = [{"role": message.role, "content": message.content} for message in row.messages]
    return {**row.columns, "messages": messages}


def present(columns: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in columns if row.get(name) not in (None, "")}

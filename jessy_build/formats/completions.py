"""`{"prompt": ..., "completion": ...}`, a row a line. It has no place for a second question, nor
for a system text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.formats import json_rows, shape, writing
from jessy_build.formats.reading import Again, Read, Reading
from jessy_build.formats.writing import Out, Splits
from jessy_build.teachers import rows


def read(reading: Reading) -> Read:
    meant = reading.meant
    return json_rows.read(reading, lambda value, at, path: shape.completion(value, at, meant, path))


def again(reading: Reading, number: int) -> Again | None:
    return json_rows.again(reading, number)


def write(folder: Path, splits: Splits, columns: Sequence[str]) -> None:
    writing.jsonl(folder, splits, _value)


def _value(row: Out) -> dict[str, Any]:
    asked, *rest = (message for message in row.messages if message.role != "system")
    if len(rest) != 1:
        raise StepError(
            f"a row has {(1 + len(rest)) // 2} questions, and a completion answers one:"
            f" {rows.excerpt(asked.content)}",
            hint="write another format: --format chat",
        )
    return {**row.columns, "prompt": asked.content, "completion": rest[0].content}

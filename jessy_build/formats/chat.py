"""`{"messages": [{"role": "user", "content": ...}, ...]}`, a row a line: what mlx-lm, TRL, Axolotl
and OpenAI's fine-tuning read."""

from collections.abc import Sequence
from pathlib import Path

from jessy_build.formats import json_rows, shape, writing
from jessy_build.formats.reading import Again, Read, Reading
from jessy_build.formats.shape import CHAT
from jessy_build.formats.writing import Splits


def read(reading: Reading) -> Read:
    meant = reading.meant
    return json_rows.read(
        reading, lambda value, at, path: shape.conversation(CHAT, value, at, meant, path)
    )


def again(reading: Reading, number: int) -> Again | None:
    return json_rows.again(reading, number)


def write(folder: Path, splits: Splits, columns: Sequence[str]) -> None:
    writing.jsonl(folder, splits, writing.chat)

"""`{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}`: the format
of ShareGPT and of JESSY's older data sets, as a list, an object around a list, or a row a line."""

from collections.abc import Sequence
from pathlib import Path

from jessy_build.formats import json_rows, shape, writing
from jessy_build.formats.reading import Again, Read, Reading
from jessy_build.formats.shape import CONVERSATIONS
from jessy_build.formats.writing import Splits

NAMES = {"system": "system", "user": "human", "assistant": "gpt"}
"""What every tool that reads the format knows."""


def read(reading: Reading) -> Read:
    meant = reading.meant
    return json_rows.read(
        reading,
        lambda value, at, path: shape.conversation(CONVERSATIONS, value, at, meant, path),
        CONVERSATIONS.turns,
    )


def again(reading: Reading, number: int) -> Again | None:
    return json_rows.again(reading, number, CONVERSATIONS.turns)


def write(folder: Path, splits: Splits, columns: Sequence[str]) -> None:
    writing.json_list(
        folder,
        splits,
        lambda row: {
            **row.columns,
            "conversations": [
                {"from": NAMES[message.role], "value": message.content} for message in row.messages
            ],
        },
    )

"""Data sets as other tools write them: one small module a format, and this visible table.

A format reads rows (`dataset.include`) and writes them (`jessy export`). What formats have in
common: `shape` (a value → a row, or what is wrong with it), `json_rows` (values out of JSON of any
length), `writing`.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from jessy_build.formats.reading import Again, Read, Reading
from jessy_build.formats.writing import Splits

FORMATS: Mapping[str, str] = {
    "conversations": "lists of turns {from, value}, as ShareGPT and older data sets have them",
    "chat": "a row a line, each a list of messages {role, content}",
    "completions": "a row a line, each a prompt and its completion",
    "parquet": "columns: messages, or conversations, or prompt and completion",
}


class Format(Protocol):
    def read(self, reading: Reading) -> Read:
        """All rows of a file, and every problem in it."""

    def again(self, reading: Reading, number: int) -> Again | None:
        """One row as it stands in the file, to show where it says something."""

    def write(self, folder: Path, splits: Splits, columns: Sequence[str]) -> None:
        """Every split into an empty folder; StepError where it has no place for a row."""


def named(name: str) -> Format:
    """Loaded when it is asked for: a recipe that includes nothing pays for none."""
    return cast(Format, import_module(f"jessy_build.formats.{name}"))

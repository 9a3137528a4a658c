"""Rows written by hand, one JSON object a line. Asks nobody, and says every problem with its place.

What a line may hold is told in `rows`.
"""

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import Field

from jessy_build.config import Config as BaseConfig
from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.plain_file import open_plain
from jessy_build.teachers import quick, rows
from jessy_build.teachers.rows import Row

__all__ = ["Config", "Read", "Row", "read"]

UNREADABLE = code("D101", "a data file cannot be read")
MANY_PROBLEMS = code("D199", "a data file has many more problems")

SHOWN = 20
"""Problems told one by one for each file: a file of another format would tell thousands."""
LOOKED_FOR = 1000
"""Problems after which the rest of a file is not looked at."""
AT_ONCE = 1 << 18


class Config(BaseConfig):
    """Rows written by hand, one JSON object a line."""

    kind: Literal["curated"]
    files: tuple[str, ...] = Field(default=(), min_length=1)
    """Glob patterns of JSONL files, relative to the recipe. Default: none, where all rows come
    from `dataset.include`."""


@dataclass(frozen=True)
class Read:
    """What stood in a file: its good rows, and what is wrong with the others."""

    rows: tuple[Row, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    sha256: str | None = None
    """Of the very bytes that the rows were made from; None where some could not be read."""


def read(path: Path, name: str) -> Read:
    """`name` is the file's for people, and for the rows: the same wherever one stands."""
    reading = _Reading(name)
    try:
        hashed = Hashed(path)
        with BufferedReader(hashed, AT_ONCE) as file, nothing_collected():
            reading.all(file)
    except OSError as error:
        why = error.strerror or str(error)
        problem = f"the file cannot be read: {why.lower()}"
        reading.problems.append(Diagnostic(UNREADABLE, Span(name, 1, 1, 2), "", problem))
        return Read(tuple(reading.rows), reading.told())
    sha256 = None if reading.given_up else hashed.sha256.hexdigest()
    return Read(tuple(reading.rows), reading.told(), sha256)


class _Reading:
    """The rows and problems of one file, as they are found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.problems: list[Diagnostic] = []
        self.given_up = False

    def all(self, file: BinaryIO) -> None:
        labels = quick.Labels()
        for number, line in enumerate(lines_in(file), start=1):
            if line == b"\n":
                continue
            row = quick.row(line, self.name, number, labels)
            if row is None:
                pass_rest(file, line)
                row = self._carefully(number, line)
                if self.given_up:
                    return
            if row is not None:
                self.rows.append(row)

    def told(self) -> tuple[Diagnostic, ...]:
        return shortened(self.name, self.problems, self.given_up)

    def _carefully(self, number: int, line: bytes) -> Row | None:
        line = without_mark(number, line)
        if not line.strip():
            return None
        row, wrong = rows.parse(line, file=self.name, number=number)
        self.problems += wrong
        self.given_up = len(self.problems) >= LOOKED_FOR or len(wrong) >= rows.MOST
        return row


def shortened(
    name: str, problems: Sequence[Diagnostic], given_up: bool = False
) -> tuple[Diagnostic, ...]:
    """The first of them, and how many more there are."""
    if len(problems) <= SHOWN:
        return tuple(problems)
    first = problems[SHOWN].span.line
    count = f"{'at least ' if given_up else ''}{len(problems) - SHOWN}"
    more = Diagnostic(
        MANY_PROBLEMS,
        Span(name, first, 1, 2),
        "",
        f"{count} more problems in {name}, from line {first} on",
        hint="put the ones above right first, then check again",
    )
    return (*problems[:SHOWN], more)


def line_of(path: Path, number: int) -> str:
    """One line again, to show it; empty where the file has changed or gone since it was read."""
    try:
        with BufferedReader(open_plain(path)) as file:
            for at, line in enumerate(lines_in(file), start=1):
                if at == number:
                    return without_mark(number, line).decode("utf-8", "replace")
                pass_rest(file, line)
    except OSError:
        pass
    return ""


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """Each line, or the beginning of one that is too long; then its rest comes next."""
    return iter(partial(file.readline, rows.MAX_LINE + 1), b"")


def pass_rest(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(rows.MAX_LINE)


def without_mark(number: int, line: bytes) -> bytes:
    """Editors on Windows open a file with a byte order mark."""
    return line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


class Hashed(RawIOBase):
    """A plain file, and the sha256 of what was read of it."""

    def __init__(self, path: Path) -> None:
        self.file = open_plain(path)
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.file.readinto(buffer) or 0
        self.sha256.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Rows hold no circles. Looking for some among ever more of them takes as long as reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""Rows written by hand, one JSON object a line. Asks nobody, and says every problem with its place.

What a line may hold is told in `rows`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from jessy_build.config import Config as BaseConfig
from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.teachers import rows
from jessy_build.teachers.rows import Row

__all__ = ["Config", "Row", "read"]

UNREADABLE = code("D101", "a data file cannot be read")
MANY_PROBLEMS = code("D199", "a data file has many more problems")

SHOWN = 20
"""Problems told one by one for each file: a file of another format would tell thousands."""


class Config(BaseConfig):
    """Rows written by hand, one JSON object a line."""

    kind: Literal["curated"]
    files: tuple[str, ...] = Field(min_length=1)
    """Glob patterns of JSONL files, relative to the recipe."""


def read(
    files: Sequence[Path], *, shown: Callable[[Path], str]
) -> tuple[tuple[Row, ...], list[Diagnostic]]:
    """All good rows in the order of the files, and the problems of all files.

    `shown` names a file for people, and for the rows: it should not depend on where one stands.
    """
    good: list[Row] = []
    problems: list[Diagnostic] = []
    for path in files:
        name = shown(path)
        found: list[Diagnostic] = []
        try:
            for number, line in _lines(path):
                row, wrong = rows.parse(line, file=name, number=number)
                found += wrong
                if row:
                    good.append(row)
        except OSError as error:
            why = error.strerror or str(error)
            problem = f"the file cannot be read: {why.lower()}"
            found.append(Diagnostic(UNREADABLE, Span(name, 1, 1, 2), "", problem))
        problems += _shortened(name, found)
    return tuple(good), problems


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line that is not blank with its number, at most one byte over the limit."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(rows.MAX_LINE + 1):
            number += 1
            rest = line
            while not rest.endswith(b"\n") and (rest := file.readline(rows.MAX_LINE)):
                pass
            # Editors on Windows open a file with a byte order mark.
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield number, line


def _shortened(name: str, found: list[Diagnostic]) -> list[Diagnostic]:
    if len(found) <= SHOWN:
        return found
    first = found[SHOWN].span.line
    problem = f"{len(found) - SHOWN} more problems in {name}, from line {first} on"
    more = Diagnostic(
        MANY_PROBLEMS,
        Span(name, first, 1, 2),
        "",
        problem,
        hint="put the ones above right first, then check again",
    )
    return [*found[:SHOWN], more]

"""What a file of another tool is read for, and what came of it: rows, and problems with places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.teachers import curated, json_places
from jessy_build.teachers.rows import Row

OTHER_SYSTEM = code("D152", "a row has a system text that is not the persona's")

MAX_ROW = 1 << 20
"""Characters of one conversation. A curated line may be as long."""
LINE, INDEX = ":", "#"


class Meant(NamedTuple):
    """What the recipe says about the rows: their category, and what they do not say themselves."""

    category: str
    topic: str = ""
    language: str = ""
    complexity: str = ""
    own_labels: bool = True
    """Whether what a row says about itself counts."""
    system: str | None = None
    """The persona's system text: a row may begin with it."""
    drop_system: bool = False
    """Whether a row may begin with any other one, too."""


class Wrong(NamedTuple):
    """Something wrong in a row, at a path below its value."""

    path: json_places.Path
    code: str
    problem: str
    expected: str = ""
    got: str = ""
    hint: str = ""

    def at(self, span: Span) -> Diagnostic:
        return Diagnostic(self.code, span, "", self.problem, self.expected, self.got, self.hint)


Spans: TypeAlias = Callable[[json_places.Path], Span]


class Again(NamedTuple):
    """A row as its file has it: the value, and where a path in it stands."""

    value: Any
    span: Spans


class Read(NamedTuple):
    """What stood in a file: its good rows, and what is wrong with the others."""

    rows: tuple[Row, ...]
    problems: tuple[Diagnostic, ...]
    sha256: str | None
    """Of the very bytes that the rows were made from; None where some could not be read."""
    mark: str
    """Between file and number in a row's name: `a.jsonl:12` is a line, `a.json#12` the twelfth row
    of a file that has no line for each."""


@dataclass
class Reading:
    """One file that is being read. `name` is the file's for people, and for the rows."""

    path: Path
    name: str
    meant: Meant
    rows: list[Row] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    given_up: bool = False
    mark: str = LINE

    def take(self, row: Row | list[Wrong], span: Spans) -> None:
        if isinstance(row, list):
            self.say([wrong.at(span(wrong.path)) for wrong in row])
        else:
            self.rows.append(row)

    def say(self, problems: Sequence[Diagnostic]) -> None:
        self.problems += problems
        self.given_up |= len(self.problems) >= curated.LOOKED_FOR

    def stop(self, problem: Diagnostic) -> None:
        """Of what stands behind it nothing can be told."""
        self.problems.append(problem)
        self.given_up = True

    def read(self, sha256: str) -> Read:
        told = curated.shortened(self.name, self.problems, len(self.problems) > curated.SHOWN)
        return Read(tuple(self.rows), told, None if self.given_up else sha256, self.mark)

    def unreadable(self, why: str) -> Read:
        span = Span(self.name, 1, 1, 2)
        problem = Diagnostic(curated.UNREADABLE, span, "", f"the file cannot be read: {why}")
        self.stop(problem)
        return self.read("")

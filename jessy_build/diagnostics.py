"""Problems as data: where, what, expected, got, next move. Nothing here prints or exits."""

from dataclasses import dataclass
from pathlib import Path

CODES: dict[str, str] = {}
"""Every error code and its one-line title. Filled by `code()`; docs and tests read it."""


def code(name: str, title: str) -> str:
    """Register an error code beside the check that raises it."""
    if CODES.setdefault(name, title) != title:
        raise ValueError(f"error code {name} is already '{CODES[name]}'")
    return name


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a file; line and column count from 1, `end_column` is one past the end."""

    file: str
    line: int
    column: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in the user's text. `field` is the dotted path in the recipe, '' for the file."""

    code: str
    span: Span
    field: str
    problem: str
    expected: str = ""
    got: str = ""
    hint: str = ""
    severity: str = "error"


class RecipeError(Exception):
    """The user's text is wrong: all problems of it at once. Exit code 2."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        self.diagnostics = sorted(diagnostics, key=lambda d: (d.span, d.code))
        super().__init__("; ".join(d.problem for d in self.diagnostics))


class StepError(Exception):
    """The world refused: network, disk, a server, a diverged training. Exit code 1.

    `problem` says what happened, `hint` the next move. The scheduler adds step and recipe line.
    """

    def __init__(self, problem: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.log = log


class MissingPackage(StepError):
    """A part that is not installed here, with the line that installs it."""

    def __init__(self, package: str, *, needed_for: str, install: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed here", hint=install
        )

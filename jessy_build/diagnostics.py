"""Problems as data: where, what, expected, got, next move. Nothing here prints or exits."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jessy_build.masking import masked

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

    def __post_init__(self) -> None:
        for name in ("problem", "expected", "got", "hint"):
            object.__setattr__(self, name, masked(getattr(self, name)))


WIDEST = 110
"""Characters of a source line that are shown; of a longer one, those around the problem."""
REACH = 4096
"""Further than any key is long: one that begins before what is shown is masked there, too."""


def render(diagnostic: Diagnostic, lines: Callable[[str], Sequence[str]]) -> str:
    """The problem as people read it. `lines` gives the lines of a file, or none."""
    span = diagnostic.span
    where = f"{span.file}:{span.line}:{span.column}"
    head = f"{where}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.problem}"
    if diagnostic.field:
        head += f"      ({diagnostic.field})"
    text = [head]
    source = lines(span.file)
    if 0 < span.line <= len(source):
        text += _excerpt(_masked_near(source[span.line - 1], span), span)
    for name in ("expected", "got", "hint"):
        if value := getattr(diagnostic, name):
            text.append(f"  {name}: {value}")
    return "\n".join(_printable(masked(line)) for line in text)


def near(word: str, names: Iterable[str]) -> str:
    """A hint, where one of the names is so close that it must have been meant."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(names), n=1, cutoff=0.7)
    return f"did you mean '{close[0]}'?" if close else ""


def _masked_near(line: str, span: Span) -> str:
    """The line, masked where it may be shown; what lies far away is blank, be it a million long."""
    begin = max(0, span.column - REACH)
    end = span.column + WIDEST + REACH
    return " " * begin + masked(line[begin:end]) + " " * (len(line) - end)


def _excerpt(line: str, span: Span) -> list[str]:
    """The line, and carets under what is meant."""
    first, last = span.column - 1, span.end_column - 1
    start = 0
    if len(line) > WIDEST and last > WIDEST - 10:
        start = max(0, min(first - 20, len(line) - WIDEST))
    shown = line[start : start + WIDEST].replace("\t", " ").rstrip()
    before = "…" if start else ""
    after = "…" if start + WIDEST < len(line) else ""
    margin = " " * (width(before) + width(line[start:first]))
    carets = "^" * max(1, width(line[first : min(last, start + WIDEST)]))
    number = f"{span.line:4}"
    return [f"{number} | {before}{shown}{after}", f"{' ' * len(number)} | {margin}{carets}"]


def width(text: str) -> int:
    """Columns of a terminal: carets must stand under Turkish letters and emoji alike."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    joined = sum(unicodedata.category(letter) in ("Mn", "Me", "Cf") for letter in text)
    return len(text) + wide - joined


def _printable(line: str) -> str:
    """Text from a file must not drive the terminal, nor turn the order of what is read."""
    return "".join("�" if unicodedata.category(c) == "Cc" or c in TURNING else c for c in line)


TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RecipeError(Exception):
    """The user's text is wrong: all problems of it at once. Exit code 2."""

    def __init__(self, diagnostics: list[Diagnostic], first: Sequence[str] = ()) -> None:
        """`first` are the files whose problems may be the cause of those in other files."""
        order = {file: index for index, file in enumerate(first)}
        self.diagnostics = sorted(
            diagnostics, key=lambda d: (order.get(d.span.file, len(order)), d.span, d.code)
        )
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


class UsageError(StepError):
    """The words of the command line: one is missing, names nothing, or contradicts another. Exit
    code 2, as for a wrong recipe."""


class StalePlan(StepError):
    """A saved plan that no longer says what would happen. Exit code 2, as for a wrong recipe."""


class BudgetReached(StepError):
    """The build may spend no more; what was answered is kept. Exit code 5."""


class MissingPackage(StepError):
    """A part that is not installed here, with the line that installs it."""

    def __init__(self, package: str, *, needed_for: str, install: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed here", hint=install
        )

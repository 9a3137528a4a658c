"""Bytes of a file → text that holds nothing invisible. Bounded, and never waits for a device."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

from jessy_build import digest
from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.plain_file import NotPlain, open_plain
from jessy_build.teachers import curated

UNREADABLE = code("R001", "a file cannot be read")
TOO_LARGE = code("R002", "a file is too large")
NOT_TEXT = code("R003", "a file is not UTF-8 text")

MAX_BYTES = 1 << 20
NO_TEXT = (b"PAR1", b"\xff\xff\xff\xff")
"""How data files begin whose rows are no lines: nothing of them can be shown."""
ROWS_ELSEWHERE = "training rows belong in JSONL files that the recipe names"


class UnreadableText(Exception):
    """A file that is no text we would read, with the place inside it where one is known."""

    def __init__(
        self, problem_code: str, problem: str, *, hint: str = "", line: int = 1, column: int = 1
    ) -> None:
        super().__init__(problem)
        self.code = problem_code
        self.problem = problem
        self.hint = hint
        self.line = line
        self.column = column

    def diagnostic(self, shown: str) -> Diagnostic:
        span = Span(shown, self.line, self.column, self.column + 1)
        return Diagnostic(self.code, span, "", self.problem, hint=self.hint)


def read_text(path: Path, limit: int = MAX_BYTES) -> tuple[str, str]:
    """The text of a plain file and the sha256 of its bytes, or UnreadableText."""
    data = _read_bytes(path, limit)
    sha256 = digest.of_bytes(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableText(NOT_TEXT, "the file is UTF-16", hint="save it as UTF-8")
    try:
        # Editors on Windows open a file with a byte order mark.
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        line, column = Lines(before + "?").place(len(before))
        raise UnreadableText(
            NOT_TEXT,
            f"byte 0x{error.object[error.start]:02x} is no UTF-8",
            hint="save the file as UTF-8 (old Turkish files are often windows-1254)",
            line=line,
            column=column,
        ) from None
    if unprintable := UNPRINTABLE.search(text):
        line, column = Lines(text).place(unprintable.start())
        raise UnreadableText(
            NOT_TEXT,
            f"the control character {named(unprintable.group())} stands in the text",
            hint="is this a text file? remove the character, or write it as an escape in quotes",
            line=line,
            column=column,
        )
    return text, sha256


UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Named one by one: to compile all that may stand in a text takes longer than to load a recipe."""


SEPARATORS = re.compile("[\x85\u2028\u2029]")


def named(character: str) -> str:
    return f"U+{ord(character):04X}"


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        with BufferedReader(open_plain(path)) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise UnreadableText(UNREADABLE, "the file does not exist") from None
    except IsADirectoryError:
        raise UnreadableText(UNREADABLE, "this is a folder, not a file") from None
    except NotPlain:
        raise UnreadableText(UNREADABLE, "this is no plain file") from None
    except PermissionError:
        raise UnreadableText(
            UNREADABLE, "the file may not be read", hint="check its permissions"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnreadableText(UNREADABLE, f"the file cannot be read: {reason}") from None
    if len(data) > limit:
        raise UnreadableText(
            TOO_LARGE,
            f"the file is larger than {limit // 1024} kB",
            hint=ROWS_ELSEWHERE,
        )
    return data


def lines_of(path: Path) -> Sequence[str]:
    """To show some of them beside problems; none of what cannot be read."""
    try:
        with BufferedReader(open_plain(path)) as file:
            data = file.read(MAX_BYTES + 1)
            if data.startswith(NO_TEXT):
                return []
            if len(data) <= MAX_BYTES:
                return re.split(r"\r\n|\r|\n", data.decode("utf-8", "replace"))
            count = data.count(b"\n") + 1
            while data := file.read(MAX_BYTES):
                count += data.count(b"\n")
    except OSError:
        return []
    return _LongFile(path, count)


@dataclass(frozen=True)
class _LongFile(Sequence[str]):
    """Only data files are long, and only a few of their lines are ever shown."""

    path: Path
    lines: int

    def __len__(self) -> int:
        return self.lines

    def __getitem__(self, index: Any) -> Any:
        return curated.line_of(self.path, index + 1).rstrip("\r\n")


@dataclass
class Lines:
    """Characters counted from 0 → line and column counted from 1, as editors count them."""

    text: str

    @cached_property
    def starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]

    def place(self, index: int) -> tuple[int, int]:
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1

    def line(self, number: int) -> str:
        if not 0 < number <= len(self.starts):
            return ""
        begin = self.starts[number - 1]
        return self.text[begin : begin + self.end_of_line(number) - 1]

    def end_of_line(self, line: int) -> int:
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return len(self.text[self.starts[line - 1] : end].rstrip()) + 1


def half_character(text: str) -> bool:
    return HALF.search(text) is not None


HALF = re.compile("[\ud800-\udfff]")

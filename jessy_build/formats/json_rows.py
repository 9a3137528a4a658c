"""Values out of a JSON file of any length: a row a line, one list, or an object around a list.

A file is read piece by piece and never held whole. Numbered are lines where each row has its own,
else the rows.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from jessy_build.diagnostics import Diagnostic, Span
from jessy_build.formats.reading import INDEX, Again, Read, Reading, Spans
from jessy_build.formats.shape import Path
from jessy_build.teachers import curated, json_places, rows
from jessy_build.teachers.rows import Row

PIECE = 1 << 18
WIDEST = 4 << 20
"""Characters of one value as it is written. Of a longer one the rest is not looked at."""
OPEN_ENDS = (b"{", b"[", b",")
"""How a first line ends that is no whole row."""
DECODER = json.JSONDecoder(object_pairs_hook=rows.once, parse_constant=rows.no_constant)
PLAIN = json.JSONDecoder()


class Found(NamedTuple):
    value: Any
    number: int
    path: Path
    """Where the row begins in what `span` knows."""
    span: Spans


Shape = Callable[[Any, tuple[str, int], Path], Row | list[Any]]


def read(reading: Reading, shape: Shape, around: str = "") -> Read:
    """`around` names a field of an object that may hold all rows of the file."""
    try:
        hashed = curated.Hashed(reading.path)
        with BufferedReader(hashed, PIECE) as file, curated.nothing_collected():
            for found in _found(reading, file, around):
                at = (reading.name, found.number)
                reading.take(shape(found.value, at, found.path), found.span)
                if reading.given_up:
                    break
    except OSError as error:
        return reading.unreadable((error.strerror or str(error)).lower())
    return reading.read(hashed.sha256.hexdigest())


def again(reading: Reading, number: int, around: str = "") -> Again | None:
    with (
        suppress(OSError),
        BufferedReader(curated.Hashed(reading.path), PIECE) as file,
    ):
        for found in _found(reading, file, around):
            if found.number == number:
                return Again(found.value, _below(found))
    return None


def _below(found: Found) -> Spans:
    return lambda path: found.span((*found.path, *path))


def _found(reading: Reading, file: BinaryIO, around: str) -> Iterator[Found]:
    for number, line in enumerate(curated.lines_in(file), start=1):
        line = curated.without_mark(number, line)
        if not line.isspace() and line:
            if _is_document(line, around):
                reading.mark = INDEX
                yield from _Document(reading, file, line, number, around).rows()
            else:
                yield from _lines(reading, file, chain([line], curated.lines_in(file)), number)
            return


def _is_document(line: bytes, around: str) -> bool:
    """A first line that is no row by itself, or holds more than one."""
    line = line.strip()
    if not line.startswith(b"{"):
        return line.startswith(b"[")
    if len(line) > rows.MAX_LINE or line.endswith(OPEN_ENDS):
        return True
    with suppress(ValueError, RecursionError):
        return bool(_rows_inside(PLAIN.decode(line.decode()), around))
    return False


def _rows_inside(value: Any, around: str) -> list[Any]:
    """The rows of an object that holds many: those of a list of lists, or of objects with one."""
    inner = value.get(around) if type(value) is dict else None
    if type(inner) is not list or not inner:
        return []
    first = inner[0]
    many = type(first) is list or (type(first) is dict and around in first)
    return inner if many else []


# A row a line


def _lines(reading: Reading, file: BinaryIO, lines: Iterator[bytes], start: int) -> Iterator[Found]:
    for number, line in enumerate(lines, start=start):
        if line == b"\n":
            continue
        text = value = None
        if len(line) <= rows.MAX_LINE:
            with suppress(ValueError, RecursionError, rows.RepeatedKey):
                text = line.decode().rstrip("\r\n")
                value = DECODER.decode(text)
        if type(value) is dict and text is not None:
            yield Found(value, number, (), _in_line(reading.name, number, text))
            continue
        curated.pass_rest(file, line)
        if line.strip():
            careful = rows.Line(reading.name, number)
            if (words := careful.text(line)) is not None:
                careful.object(words)
            reading.say(careful.problems)
            if reading.given_up:
                return


def _in_line(name: str, number: int, text: str) -> Spans:
    def span(path: Path) -> Span:
        place = json_places.value(text, path)
        return Span(name, number, place.column, place.end)

    return span


# One value that is the whole file


class _Stop(Exception):
    """Nothing behind this can be read."""

    def __init__(self, problem: Diagnostic) -> None:
        super().__init__(problem.problem)
        self.problem = problem


class _TooLong(Exception):
    pass


class _Document:
    """The rows of a list, with the text around the one that is read last."""

    def __init__(
        self, reading: Reading, file: BinaryIO, first: bytes, line: int, around: str
    ) -> None:
        self.reading = reading
        self.file = file
        self.around = around
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = ""
        self.at = 0
        self.line, self.column = line, 1
        """Where `text` begins in the file."""
        self.ended = False
        self.no_utf8: int | None = None
        """The byte that ended it, where one did."""
        self.number = 0
        self.last = 0
        """Where the value begins that said a key twice."""
        self._add(first)

    def rows(self) -> Iterator[Found]:
        try:
            if self._next() == "[":
                yield from self._list()
            else:
                yield from self._object()
            if self._next():
                hint = "a row a line, or one list of all rows"
                raise self._stop(self.at, rows.NOT_JSON, "the file goes on behind its end", hint)
            if self.no_utf8 is not None:
                raise self._not_json(self.at, "")
        except _Stop as stop:
            self.reading.stop(stop.problem)

    def _list(self) -> Iterator[Found]:
        self.at += 1
        if self._next() == "]":
            self.at += 1
            return
        while True:
            if self._next():
                yield from self._row()
            if self._after("]"):
                return

    def _row(self) -> Iterator[Found]:
        try:
            start, value = self._value()
        except rows.RepeatedKey:
            self.number += 1
            self.reading.say([self._repeated()])
        except _TooLong:
            raise self._too_long() from None
        else:
            self.number += 1
            yield Found(value, self.number, (), self._in_text(start, self.at))

    def _object(self) -> Iterator[Found]:
        """One conversation, or what stands around many."""
        try:
            start, value = self._value()
        except rows.RepeatedKey:
            self.reading.say([self._repeated()])
            return
        except _TooLong:
            if not self.around:
                raise self._too_long() from None
            yield from self._members()
            return
        span = self._in_text(start, self.at)
        inner = _rows_inside(value, self.around)
        if not inner:
            yield Found(value, 1, (), span)
        for index, row in enumerate(inner):
            yield Found(row, index + 1, (self.around, index), span)

    def _members(self) -> Iterator[Found]:
        start = self.at
        self.at += 1
        found = False
        while self._next() != "}":
            try:
                _, key = self._value()
                if type(key) is not str or self._next() != ":":
                    raise self._not_json(self.at, "expecting a key and ':'")
                self.at += 1
                if self._next() == "[" and key == self.around:
                    found = True
                    yield from self._list()
                else:
                    self._value()
            except rows.RepeatedKey:
                self.reading.say([self._repeated()])
            except _TooLong:
                raise self._too_long() from None
            if self._after("}"):
                break
        if not found:
            problem = f"there is no list '{self.around}' in it"
            raise self._stop(min(start, self.at), rows.NO_MESSAGES, problem)

    def _after(self, end: str) -> bool:
        """Past a comma, or past the end of what is read."""
        sign = self._next()
        if sign not in (",", end) or not sign:
            raise self._not_json(self.at, f"expecting ',' or '{end}'")
        self.at += 1
        return sign == end

    def _value(self) -> tuple[int, Any]:
        """Where it begins, and itself; RepeatedKey, _TooLong, or _Stop where it is no JSON."""
        decoder = DECODER
        repeated: rows.RepeatedKey | None = None
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.at)
                if end < len(self.text) or self.ended:
                    start, self.at = self.at, end
                    if repeated:
                        self.last = start
                        raise repeated
                    return start, value
            except rows.RepeatedKey as error:
                if repeated:
                    raise
                # Once more without minding, to find where it ends.
                repeated, decoder = error, PLAIN
                continue
            except json.JSONDecodeError as error:
                cut_off = error.pos >= len(self.text) - 16 or error.msg.startswith("Unterminated")
                if self.ended or (self._is_wide() and not cut_off):
                    message = f"{error.msg[:1].lower()}{error.msg[1:]}"
                    raise self._not_json(error.pos, message) from None
            except RecursionError:
                raise self._stop(self.at, rows.NOT_JSON, "it is nested too deeply") from None
            except ValueError as error:
                message = rows.bad_number(error)
                raise self._stop(self.at, rows.NOT_JSON, message) from None
            if self._is_wide():
                raise _TooLong
            self._fill()

    def _is_wide(self) -> bool:
        return len(self.text) - self.at > WIDEST

    def _next(self) -> str:
        """The next sign that is no space; '' at the end of the file."""
        while True:
            space = json_places.SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._fill()

    def _fill(self) -> None:
        self.line, self.column = self._place(self.at)
        self.text, self.at = self.text[self.at :], 0
        self._add(self.file.read(PIECE))

    def _add(self, data: bytes) -> None:
        try:
            self.text += self.decoder.decode(data, final=not data)
            self.ended = not data
        except UnicodeDecodeError as error:
            self.text += error.object[: error.start].decode("utf-8")
            self.no_utf8 = error.object[error.start]
            self.ended = True

    # Places

    def _place(self, index: int) -> tuple[int, int]:
        lines = self.text.count("\n", 0, index)
        if lines:
            return self.line + lines, index - self.text.rfind("\n", 0, index)
        return self.line, self.column + index

    def _span(self, start: int, end: int) -> Span:
        line, column = self._place(start)
        newline = self.text.find("\n", start, end)
        length = (newline if newline >= 0 else end) - start
        return Span(self.reading.name, line, column, column + max(length, 1))

    def _in_text(self, start: int, end: int) -> Spans:
        """Good until the next value is read."""
        text = self.text

        def span(path: Path) -> Span:
            place = json_places.value(text[start:end], path)
            return self._span(start + place.column - 1, start + place.end - 1)

        return span

    # Problems

    def _stop(self, at: int, code: str, problem: str, hint: str = "") -> _Stop:
        return _Stop(Diagnostic(code, self._span(at, at + 1), "", problem, hint=hint))

    def _not_json(self, at: int, message: str) -> _Stop:
        if self.no_utf8 is not None:
            problem = f"byte 0x{self.no_utf8:02x} is no UTF-8"
            hint = "save the file as UTF-8 (old Turkish files are often windows-1254)"
            return self._stop(len(self.text), rows.NOT_UTF8, problem, hint)
        if at >= len(self.text):
            return self._stop(at, rows.NOT_JSON, "not JSON: the file ends too soon")
        span = self._span(at, at + 1)
        got = rows.excerpt(self.text[at : at + 100])
        problem = f"not JSON: {message}"
        hint = rows.why_not_json(self.text[at : at + 1], json.JSONDecodeError(message, "", 0))
        hint = hint if "comma" in hint or "quotes" in hint else ""
        return _Stop(Diagnostic(rows.NOT_JSON, span, "", problem, got=got, hint=hint))

    def _too_long(self) -> _Stop:
        problem = f"one row is longer than {WIDEST >> 20} million characters"
        return self._stop(self.at, rows.TOO_LONG, problem)

    def _repeated(self) -> Diagnostic:
        text = self.text[self.last : self.at]
        key, place = json_places.repeated(text) or ("", json_places.START)
        start = self.last + place.column - 1
        span = self._span(start, self.last + place.end - 1)
        problem = f"{rows.excerpt(key)} is written twice in one object"
        return Diagnostic(rows.REPEATED_KEY, span, "", problem, hint="keep one of them")

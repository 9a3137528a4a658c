"""One line of a data file to a Row, or to every problem with it. Reads no file.

A row is `{"messages": [{"role", "content"}, ...]}` or, for one question and its answer, the short
`{"user", "assistant"}`. What a row does not say about itself fits whatever the recipe asks of it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from jessy_build import digest
from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.example import Message, Role
from jessy_build.teachers import json_places

NOT_UTF8 = code("D102", "a line is not UTF-8")
NOT_JSON = code("D103", "a line is not JSON")
TOO_LONG = code("D104", "a line, or a row, is too long")
NOT_A_ROW = code("D105", "a line is not a row")
UNKNOWN_KEY = code("D106", "a row has an unknown key")
REPEATED_KEY = code("D107", "a row says one key twice")
NO_MESSAGES = code("D108", "a row has no messages")
WRONG_VALUE = code("D109", "a row has a value of the wrong kind")
WRONG_ROLE = code("D110", "the roles of a row do not alternate")
EMPTY_TEXT = code("D111", "a message is empty")
BROKEN_TEXT = code("D112", "a text holds half a character")

MAX_LINE = 1 << 20
"""Bytes. A conversation of that length fits no model; it is a file of another kind."""

MOST = 100
"""Problems of one line: a list of a million numbers could have as many."""

LABELS = ("category", "topic", "language", "complexity")
TURNS: tuple[Role, Role] = ("user", "assistant")
KEYS = (*LABELS, "iterations", "messages", *TURNS)
MESSAGE_KEYS = ("role", "content")
SHAPE = '"user" and "assistant", or "messages": [{"role": "user", "content": ...}, ...]'


class Row(NamedTuple):
    """One line as it was written. `file` is the name shown to people, as in `curated/a.jsonl`.

    A tuple, since a file may hold hundreds of thousands: those take a fraction of the time and
    memory that objects would take.
    """

    texts: tuple[str, ...]
    """The user's and the assistant's, in turn."""
    file: str
    line: int
    category: str | None = None
    """None fits every category that reads the file."""
    topic: str = ""
    language: str = ""
    complexity: str = ""
    iterations: int | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(Message(TURNS[i % 2], text) for i, text in enumerate(self.texts))


def digest_of(rows: Iterable[Row], category: str) -> str:
    """Of all that makes the rows of a category, in order, but for the file and line of each."""
    sha256 = hashlib.sha256(digest.canonical(category))
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    left = iter(rows)
    while some := list(islice(left, AT_ONCE)):
        values: list[Any] = []
        for texts, _, _, _, topic, language, complexity, iterations in some:
            # With the number of texts before them, no row can be read as part of another.
            values += (topic, language, complexity, iterations, len(texts), *texts)
        sha256.update(encode(values).encode("utf-8", "surrogatepass"))
    return sha256.hexdigest()


AT_ONCE = 1000
"""Rows. The digest depends on it."""


def parse(line: bytes, *, file: str, number: int) -> tuple[Row | None, list[Diagnostic]]:
    """The row, or the reasons why there is none: all of them, up to `MOST`."""
    reading = Line(file, number)
    row = None
    with suppress(Enough):
        row = _row(reading, line)
    return (None, reading.problems) if reading.problems else (row, [])


def _row(reading: "Line", line: bytes) -> Row | None:
    text = reading.text(line)
    value = None if text is None else reading.object(text)
    if text is None or value is None:
        return None
    content = _Content(reading, text, value)
    return Row(content.texts(), reading.file, reading.number, **content.labels())


class Enough(Exception):
    pass


class Line:
    """From bytes to a JSON object, collecting what is wrong on the way."""

    def __init__(self, file: str, number: int) -> None:
        self.file = file
        self.number = number
        self.problems: list[Diagnostic] = []

    def say(self, place: json_places.Place, name: str, problem: str, **words: str) -> None:
        span = Span(self.file, self.number, place.column, place.end)
        self.problems.append(Diagnostic(name, span, "", problem, **words))
        if len(self.problems) >= MOST:
            raise Enough

    def text(self, line: bytes) -> str | None:
        if len(line) > MAX_LINE:
            self.say(
                json_places.START,
                TOO_LONG,
                f"the line is longer than {MAX_LINE // 1024} kB",
                expected="one row a line",
                hint="a JSON list is no JSONL: write each row on a line of its own",
            )
            return None
        try:
            return line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            self.say(
                json_places.at(len(line[: error.start].decode("utf-8"))),
                NOT_UTF8,
                f"byte 0x{line[error.start]:02x} is no UTF-8",
                expected="UTF-8",
                hint="save the file as UTF-8 (old Turkish files are often windows-1254)",
            )
            return None

    def object(self, text: str) -> dict[str, Any] | None:
        try:
            value = json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
        except json.JSONDecodeError as error:
            self._not_json(text, error)
        except RepeatedKey as error:
            key, place = json_places.repeated(text) or (error.key, json_places.START)
            problem = f"{excerpt(key)} is written twice in one object"
            self.say(place, REPEATED_KEY, problem, hint="keep one of them")
        except RecursionError:
            self.say(json_places.START, NOT_JSON, "the line is nested too deeply")
        except ValueError as error:
            self.say(json_places.START, NOT_JSON, bad_number(error))
        else:
            if isinstance(value, dict):
                return value
            self.say(
                json_places.value(text, ()),
                NOT_A_ROW,
                "a row must be a JSON object",
                expected="{...}",
                got=kind(value),
                hint="write each row on a line of its own" if isinstance(value, list) else "",
            )
        return None

    def _not_json(self, text: str, error: json.JSONDecodeError) -> None:
        self.say(
            json_places.at(error.pos),
            NOT_JSON,
            f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}",
            got=excerpt(text[error.pos :]),
            hint=why_not_json(text, error),
        )


class _Content:
    """The parts of one JSON object that should be a row."""

    def __init__(self, line: Line, text: str, row: dict[str, Any]) -> None:
        self.line = line
        self.text = text
        self.row = row
        self.meant = self._unknown((), row, KEYS)

    def texts(self) -> tuple[str, ...]:
        short = [key for key in TURNS if key in self.row]
        if "messages" in self.row:
            for key in short:
                problem = f"a row has 'messages' or '{key}', not both"
                self.line.say(json_places.key(self.text, (key,)), WRONG_VALUE, problem)
            return self._conversation(self.row["messages"])
        if len(short) == len(TURNS):
            return tuple(self._words((key,), self.row[key]) for key in TURNS)
        if self.meant.isdisjoint({"messages", *TURNS}):
            missing = next(key for key in TURNS if key not in short) if short else "messages"
            self._say((), NO_MESSAGES, f"the row has no '{missing}'", expected=SHAPE)
        return ()

    def labels(self) -> dict[str, Any]:
        """What the row says about itself; what it leaves out has a default in `Row`."""
        labels: dict[str, Any] = {key: self._label(key) for key in LABELS if key in self.row}
        if "iterations" in self.row:
            labels["iterations"] = self._iterations()
        return labels

    def _conversation(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            self._wrong(("messages",), value, "a list of messages")
            return ()
        if not value:
            self._say(("messages",), NO_MESSAGES, "'messages' is empty", got="[]")
            return ()
        turns = [self._turn(index, item) for index, item in enumerate(value)]
        self._roles([role for role, _ in turns])
        return tuple(text for _, text in turns)

    def _turn(self, index: int, item: Any) -> tuple[Any, str]:
        """The role, not judged yet, and the text of one message."""
        path = ("messages", index)
        if not isinstance(item, dict):
            self._wrong(path, item, '{"role": ..., "content": ...}')
            return _MISSING, ""
        meant = self._unknown(path, item, MESSAGE_KEYS)
        for key in MESSAGE_KEYS:
            if key not in item and key not in meant:
                self._say(path, NO_MESSAGES, f"message {index + 1} has no '{key}'")
        content = self._words((*path, "content"), item["content"]) if "content" in item else ""
        return item.get("role", _MISSING), content

    def _roles(self, roles: Sequence[Any]) -> None:
        """Only the first wrong one is told: one turn left out shifts all that follow."""
        for index, role in enumerate(roles):
            if role != TURNS[index % 2]:
                if role is not _MISSING:
                    self._wrong_role(index, role, TURNS[index % 2])
                return
        if len(roles) % 2:
            self._say(
                ("messages", len(roles) - 1, "role"),
                WRONG_ROLE,
                "the last message must be the assistant's: its answer is what is trained",
                expected="assistant",
                got="user",
            )

    def _wrong_role(self, index: int, role: Any, wanted: str) -> None:
        hint = "roles alternate: user, assistant, user, assistant, ..."
        if role == "system":
            hint = "the system text stands in the recipe, as persona.system"
        self._say(
            ("messages", index, "role"),
            WRONG_ROLE,
            f"message {index + 1} must be the {wanted}'s",
            expected=wanted,
            got=told(role),
            hint=hint,
        )

    def _words(self, path: json_places.Path, value: Any) -> str:
        if not isinstance(value, str):
            self._wrong(path, value, "a text")
            return ""
        if not value.strip():
            self._say(path, EMPTY_TEXT, f"{named(path)} is empty", expected="a text")
        elif _half_character(value):
            self._say(
                path,
                BROKEN_TEXT,
                f"{named(path)} holds half a character (a lone \\ud8xx escape)",
                hint="write the character itself, or both halves of its escape",
            )
        return value

    def _label(self, key: str) -> str:
        value = self.row[key]
        if isinstance(value, str) and value.strip() and not _half_character(value):
            return value
        self._wrong((key,), value, "a text that is not empty")
        return ""

    def _iterations(self) -> int | None:
        value = self.row["iterations"]
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self._wrong(("iterations",), value, "a whole number from 1")
        return None

    def _unknown(
        self, path: json_places.Path, found: dict[str, Any], known: Sequence[str]
    ) -> set[str]:
        """Tells the unknown keys, and returns which known ones were probably meant."""
        meant = set()
        for key in found:
            if key in known:
                continue
            from difflib import get_close_matches

            close = get_close_matches(key, known, n=1)
            meant.update(close)
            self.line.say(
                json_places.key(self.text, (*path, key)),
                UNKNOWN_KEY,
                f"unknown key {excerpt(key)}",
                expected=", ".join(known),
                hint=f"did you mean '{close[0]}'?" if close else "",
            )
        return meant

    def _wrong(self, path: json_places.Path, value: Any, expected: str) -> None:
        problem = f"{named(path)} must be {expected}"
        self._say(path, WRONG_VALUE, problem, expected=expected, got=told(value))

    def _say(self, path: json_places.Path, name: str, problem: str, **words: str) -> None:
        self.line.say(json_places.value(self.text, path), name, problem, **words)


_MISSING = object()
"""Stands for a role that is not there, which was told already."""


class RepeatedKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of the pairs. JSON readers let the last of two equal keys win without a word."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    keys = [key for key, _ in pairs]
    raise RepeatedKey(next(key for key in keys if keys.count(key) > 1))


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def bad_number(error: ValueError) -> str:
    """Python reads whole numbers up to a length, and says so with advice for programmers."""
    return "a number has too many digits" if "digits" in str(error) else str(error)


def why_not_json(text: str, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Extra data"):
        return "one row a line: put the next one on a line of its own"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return "a row must end on the line it began on; a line break in a text is \\n"
    if text[error.pos] == "'":
        return "JSON quotes with \", not with '"
    if text[error.pos] in "}]," or "trailing comma" in error.msg:
        return "is there a comma too many?"
    return ""


def named(path: json_places.Path) -> str:
    """`messages`, 0, `content` is told as 'messages[0].content'."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"'{name.removeprefix('.')}'"


def _half_character(text: str) -> bool:
    return HALF.search(text) is not None


HALF = re.compile("[\ud800-\udfff]")


def told(value: Any) -> str:
    return excerpt(value) if isinstance(value, str) else kind(value)


def kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    if isinstance(value, bool):
        return "true" if value else "false"
    return names.get(type(value)) or str(value)[:40]


def excerpt(text: str, most: int = 40) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return repr(text if len(text) <= most else text[: most - 1] + "…")

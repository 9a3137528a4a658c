"""Find where a key or a value stands in one line of JSON, which Python's `json` does not tell.

What lies beside the way is passed over by the reader of JSON itself: a place in a very long line
costs little time and no memory. A line that is no JSON has one place, itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

SPACE = re.compile(r"[ \t\r\n]*")
LOST = (ValueError, IndexError, RecursionError)
"""What walking raises in a line that is no JSON, or nests deeper than Python recurses."""

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """Columns count characters from 1; `end` is one past the last."""

    column: int
    end: int


START = Place(1, 2)


def at(index: int) -> Place:
    """One character, by its index in the line."""
    return Place(index + 1, index + 2)


def value(line: str, path: Path) -> Place:
    """The value's place, or that of the nearest thing around it that is there."""
    try:
        return _extent(line, _found(line, path))
    except LOST:
        return _whole(line)


def key(line: str, path: Path) -> Place:
    """The name of a field, or the nearest thing around it."""
    try:
        around = _found(line, path[:-1])
        for member in _members(line, around):
            if member.key == path[-1]:
                return member.name
        return _extent(line, around)
    except LOST:
        return _whole(line)


def repeated(line: str) -> tuple[str, Place] | None:
    """The first key, from the left, that its object has said before."""
    try:
        return _repeated(line, _space(line, 0))
    except LOST:
        return None


class _Member(NamedTuple):
    """One thing in an object or a list: its key or number, the key's place, the value's start."""

    key: Any
    name: Place
    start: int


def _members(line: str, start: int) -> Iterator[_Member]:
    if line[start] == "{":
        at = _space(line, start + 1)
        while line[at] != "}":
            name, end = READ(line, at)
            inner = _space(line, _space(line, end) + 1)
            yield _Member(name, Place(at + 1, end + 1), inner)
            at = _next(line, inner)
    elif line[start] == "[":
        at = _space(line, start + 1)
        index = 0
        while line[at] != "]":
            yield _Member(index, Place(at + 1, at + 2), at)
            at = _next(line, at)
            index += 1


READ = json.JSONDecoder().raw_decode


def _found(line: str, path: Path) -> int:
    """Where the value begins that the path leads to, as far as there is one."""
    start = _space(line, 0)
    for part in path:
        inner = next((m.start for m in _members(line, start) if m.key == part), None)
        if inner is None:
            break
        start = inner
    return start


def _repeated(line: str, start: int) -> tuple[str, Place] | None:
    said: set[Any] = set()
    for member in _members(line, start):
        if member.key in said:
            return str(member.key), member.name
        said.add(member.key)
        if inner := _repeated(line, member.start):
            return inner
    return None


def _extent(line: str, start: int) -> Place:
    return Place(start + 1, READ(line, start)[1] + 1)


def _whole(line: str) -> Place:
    return Place(1, max(len(line), 1) + 1)


def _next(line: str, start: int) -> int:
    """Past a value, and past the space and the comma behind it; or at the closing bracket."""
    at = _space(line, READ(line, start)[1])
    return _space(line, at + 1) if line[at] == "," else at


def _space(line: str, at: int) -> int:
    match = SPACE.match(line, at)
    return match.end() if match else at

"""Find where a key or a value stands in one line of JSON, which Python's `json` does not tell."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
SPACE = re.compile(r"[ \t\r\n]*")
SCALAR = re.compile(r"[^\s,\]}]*")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Columns count characters from 1; `end` is one past the last."""

    column: int
    end: int


START = Place(1, 2)


def at(index: int) -> Place:
    """One character, by its index in the line."""
    return Place(index + 1, index + 2)


@dataclass(frozen=True, slots=True)
class Places:
    values: dict[Path, Place]
    keys: dict[Path, Place]
    repeated: list[Place]
    """Where an object says a key again."""

    def value(self, path: Path) -> Place:
        """The value's place, or that of the nearest thing around it that is there."""
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def key(self, path: Path) -> Place:
        return self.keys.get(path) or self.value(path)


def locate(line: str) -> Places:
    """`line` must be valid JSON. Costs a Python walk: call it for a line with a problem only."""
    places = Places({(): Place(1, len(line) + 1)}, {}, [])
    # What lies deeper than Python recurses is told at the row itself.
    with suppress(RecursionError):
        _value(line, _space(line, 0), (), places)
    return places


def _value(text: str, start: int, path: Path, places: Places) -> int:
    match text[start]:
        case "{":
            end = _object(text, start, path, places)
        case "[":
            end = _array(text, start, path, places)
        case '"':
            end = _end(STRING, text, start)
        case _:
            end = _end(SCALAR, text, start)
    places.values[path] = Place(start + 1, end + 1)
    return end


def _object(text: str, start: int, path: Path, places: Places) -> int:
    at = _space(text, start + 1)
    while text[at] != "}":
        end = _end(STRING, text, at)
        inner = (*path, json.loads(text[at:end]))
        place = Place(at + 1, end + 1)
        if places.keys.setdefault(inner, place) is not place:
            places.repeated.append(place)
        colon = _space(text, end)
        at = _next(text, _value(text, _space(text, colon + 1), inner, places))
    return at + 1


def _array(text: str, start: int, path: Path, places: Places) -> int:
    at = _space(text, start + 1)
    index = 0
    while text[at] != "]":
        at = _next(text, _value(text, at, (*path, index), places))
        index += 1
    return at + 1


def _next(text: str, at: int) -> int:
    """Past the space and the comma after an element, or at the closing bracket."""
    at = _space(text, at)
    return _space(text, at + 1) if text[at] == "," else at


def _space(text: str, at: int) -> int:
    return _end(SPACE, text, at)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at

"""The scores as they lie beside the rows, a line each, and what they come to on average."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jessy_build.steps.scores import Scored

FILE = "scores.jsonl"
DECIMALS = 4


class Line(NamedTuple):
    id: str
    source: str
    """As in the row's origin."""
    category: str
    scores: Mapping[str, int]
    reason: str
    teacher: str
    """The judge, as the recipe calls it."""
    model: str
    request: str
    """The digest of the question: its answer is kept as long as this line."""


def line(one: Scored, teacher: str) -> Line:
    row, reply = one.row, one.reply
    said = (one.said.scores, one.said.reason)
    return Line(row.id, row.origin.source, row.category, *said, teacher, reply.model, reply.request)


def write(path: Path, lines: Iterable[Line]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for one in lines:
            file.write(json.dumps(one._asdict(), ensure_ascii=False) + "\n")


def read(lines: Iterable[bytes]) -> Iterator[Line]:
    for one in lines:
        yield Line(**json.loads(one))


def means(lines: Iterable[Line]) -> dict[str, Any]:
    """By criterion, of all rows and of each category."""
    every: dict[str, list[int]] = {}
    by_category: dict[str, dict[str, list[int]]] = {}
    for one in lines:
        below = by_category.setdefault(one.category, {})
        for name, score in one.scores.items():
            every.setdefault(name, []).append(score)
            below.setdefault(name, []).append(score)
    return {
        "mean": _mean(every),
        "by_category": {category: _mean(found) for category, found in by_category.items()},
    }


def _mean(found: Mapping[str, list[int]]) -> dict[str, float]:
    return {name: round(sum(some) / len(some), DECIMALS) for name, some in found.items()}

"""Which rows of a data file a category takes now and did not before, or the other way round."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged, Store
from jessy_build.steps.items import Picked
from jessy_build.teachers.rows import TURNS, Row

ROWS = "examples.jsonl"
AT_ONCE = 1000
"""Lines that are read in one go."""
LABELS = 4
MOST = 20
"""Rows that are told one by one. Of more edits their number says enough."""


@dataclass(frozen=True)
class RowEdits:
    """`old` and `new` hold the rows that differ, a line each, or how many there are."""

    old: str | None
    new: str | None
    line: int
    """The first that was edited, as the file stands now; 0 where it cannot be told."""


class _Row(NamedTuple):
    """A tuple, and compared as one: there may be hundreds of thousands."""

    said: tuple[Any, ...]
    """Topic, language, complexity, iterations and the texts: where it stands is no part of it."""
    line: int


def of(store: Store, before: Artifact, picked: Picked, file: str) -> RowEdits | None:
    """None where the rows of before are not here any more."""
    try:
        store.glance(before)
        lines = store.object(before.tree[ROWS][0]).read_text("utf-8").split("\n")[:-1]
    except (Damaged, OSError, KeyError):
        return None
    first, last = _unlike(lines, picked.taken)
    old = list(_before(lines[first : len(lines) - last], file))
    new = list(_now(picked.taken[first : len(picked.taken) - last], file))
    went, came = _beyond(old, new), _beyond(new, old)
    if went or came:
        line = min(row.line for row in (*came, *went))
        if max(len(went), len(came)) > MOST:
            return RowEdits(_counted(went, "row"), _counted(came, "other row"), line)
        return RowEdits(_told(went), _told(came), line)
    old, new = list(_before(lines, file)), list(_now(picked.taken, file))
    if len(old) != len(new):
        # Another file has them now, or had them before: of that one it is told, too.
        return RowEdits(_counted(old, "row"), _counted(new, "row"), 0)
    moved = next((n.line for o, n in zip(old, new, strict=True) if o != n), 0)
    return RowEdits(f"{len(old)} rows", "the same rows, at other lines", moved)


def _unlike(lines: Sequence[str], rows: Sequence[Row]) -> tuple[int, int]:
    """How many are the same at the beginning, and at the end of the rest: mostly all but a few, so
    that hardly a line has to be read."""
    most = min(len(lines), len(rows))
    first = next((n for n in range(most) if not _says(lines[n], rows[n])), most)
    most -= first
    return first, next((n for n in range(most) if not _says(lines[-1 - n], rows[-1 - n])), most)


def _says(line: str, row: Row) -> bool:
    """Whether a line as it is written has this row; no text in it can look like a field."""
    texts, _, _, _, topic, language, complexity, iterations = row
    labels = f'"topic": {quoted(topic)}, "language": {quoted(language)}, '
    messages = ", ".join(
        f'{{"role": "{TURNS[n % 2]}", "content": {quoted(text)}}}' for n, text in enumerate(texts)
    )
    end = "null}" if iterations is None else f"{iterations}}}"
    return (
        f'{labels}"complexity": {quoted(complexity)}, "messages": [{messages}], ' in line
        and line.endswith(f'"iterations": {end}')
    )


def _before(lines: Sequence[str], file: str) -> Iterator[_Row]:
    start = len(file) + 1
    for at in range(0, len(lines), AT_ONCE):
        for row in json.loads(f"[{','.join(lines[at : at + AT_ONCE])}]"):
            source = row["origin"]["source"]
            if source.startswith(file) and source[start:].isdecimal():
                texts = [message["content"] for message in row["messages"]]
                labels = (row["topic"], row["language"], row["complexity"], row.get("iterations"))
                yield _Row((*labels, *texts), int(source[start:]))


def _now(rows: Sequence[Row], file: str) -> Iterator[_Row]:
    for texts, name, line, _, topic, language, complexity, iterations in rows:
        if name == file:
            yield _Row((topic, language, complexity, iterations, *texts), line)


def _beyond(some: Sequence[_Row], others: Sequence[_Row]) -> list[_Row]:
    """The rows of `some` that `others` lack."""
    left = Counter(row.said for row in others)
    beyond = []
    for row in some:
        if left.get(row.said):
            left[row.said] -= 1
        else:
            beyond.append(row)
    return beyond


def _told(rows: Sequence[_Row]) -> str | None:
    return "\n".join(map(_in_a_line, rows)) or None


def _counted(rows: Sequence[_Row], word: str) -> str | None:
    return f"{len(rows):,} {word}{'s' * (len(rows) != 1)}" if rows else None


def _in_a_line(row: _Row) -> str:
    *labels, iterations = row.said[:LABELS]
    if iterations is not None:
        labels.append(f"{iterations} iterations")
    words = [" | ".join(row.said[LABELS:])]
    if any(labels):
        words.append(f"({', '.join(filter(None, labels))})")
    return " ".join(" ".join(words).split())

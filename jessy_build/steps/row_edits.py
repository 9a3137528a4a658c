"""Which rows of a data file a category takes now and did not before, or the other way round."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged, Store
from jessy_build.example import Example, from_line
from jessy_build.steps.items import Picked

ROWS = "examples.jsonl"
MOST = 20
"""Rows that are told of each side. Whoever changed more knows the file."""


@dataclass(frozen=True)
class RowEdits:
    """`old` and `new` hold the rows that differ, a line each, and nothing of the others."""

    old: str | None
    new: str | None
    line: int
    """The first that was edited, as the file stands now; 0 where it cannot be told."""


@dataclass(frozen=True)
class _Row:
    line: int
    said: tuple[str, str]
    """Texts and labels: where it stands is no part of it."""


def of(store: Store, before: Artifact, picked: Picked, file: str) -> RowEdits | None:
    """None where the rows of before are not here any more."""
    try:
        store.glance(before)
        lines = store.object(before.tree[ROWS][0]).read_text("utf-8").split("\n")[:-1]
    except (Damaged, OSError, KeyError):
        return None
    old = list(_of_file(map(from_line, lines), file))
    new = list(_of_file(picked.examples(), file))
    went, came = _beyond(old, new), _beyond(new, old)
    if not went and not came:
        moved = next((n.line for o, n in zip(old, new, strict=True) if o != n), 0)
        return RowEdits(f"{len(old)} rows", "the same rows, at other lines", moved)
    first = min(row.line for row in (*came, *went))
    return RowEdits(_told(went), _told(came), first)


def _of_file(examples: Iterable[Example], file: str) -> Iterator[_Row]:
    for example in examples:
        name, _, line = example.origin.source.rpartition(":")
        if name == file:
            yield _Row(int(line), _said(example))


def _said(row: Example) -> tuple[str, str]:
    labels = [label for label in (row.topic, row.language, row.complexity) if label]
    if row.iterations is not None:
        labels.append(f"{row.iterations} iterations")
    texts = " | ".join(message.content for message in row.messages)
    return texts, f"({', '.join(labels)})" if labels else ""


def _beyond(some: list[_Row], others: list[_Row]) -> list[_Row]:
    """The rows of `some` that `others` lack."""
    left = Counter(row.said for row in others)
    beyond = []
    for row in some:
        if left[row.said]:
            left[row.said] -= 1
        else:
            beyond.append(row)
    return beyond


def _told(rows: list[_Row]) -> str | None:
    if not rows:
        return None
    lines = [" ".join(" ".join(row.said).split()) for row in rows[:MOST]]
    more = [f"… and {len(rows) - MOST} more rows"] if len(rows) > MOST else []
    return "\n".join([*lines, *more])

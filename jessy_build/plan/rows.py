"""Items of two data sets by their ids: which came, which went, which are answered otherwise."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jessy_build.plan.diff import Cell, Items, Sample

SAMPLES = 3
Label = tuple[str, str, str]
"""Topic, language, level."""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    label: Label
    question: str
    answer: str


def cells(old: Mapping[Label, int], new: Mapping[Label, int], *, full: bool) -> tuple[Cell, ...]:
    """In the order of the new side; those that are only on the left come last."""
    found = [Cell(*label, old.get(label, 0), new.get(label, 0)) for label in {**new, **old}]
    return tuple(cell for cell in found if full or cell.old != cell.new)


def count(rows: Iterable[Row]) -> dict[Label, int]:
    return dict(Counter(row.label for row in rows))


def compare(old: Sequence[Row], new: Sequence[Row], of: str) -> Items:
    before, after = _by_id(old), _by_id(new)
    added = [row for key, row in after.items() if key not in before]
    removed = [row for key, row in before.items() if key not in after]
    changed = [
        (before[key], row)
        for key, row in after.items()
        if key in before and (row.answer, row.label) != (before[key].answer, before[key].label)
    ]
    return Items(
        of=of,
        added=len(added),
        removed=len(removed),
        changed=len(changed),
        samples={
            "added": tuple(Sample(r.id, r.question, None, r.answer) for r in added[:SAMPLES]),
            "removed": tuple(Sample(r.id, r.question, r.answer, None) for r in removed[:SAMPLES]),
            "changed": tuple(
                Sample(new.id, new.question, _told(old, new), _told(new, old))
                for old, new in changed[:SAMPLES]
            ),
        },
    )


def _by_id(rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """A question may stand twice where duplicates are allowed; the second is another item."""
    seen: Counter[str] = Counter()
    found = {}
    for row in rows:
        found[row.id, seen[row.id]] = row
        seen[row.id] += 1
    return found


def _told(row: Row, other: Row) -> str:
    """The answer; with its labels where only they differ."""
    if row.answer != other.answer:
        return row.answer
    return f"{row.answer} ({' · '.join(filter(None, row.label))})"

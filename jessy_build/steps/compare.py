"""Two sides → what differs between them, section by section. Runs nothing, asks no network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jessy_build.plan import fields, relations, rows
from jessy_build.plan.changes import Change
from jessy_build.plan.diff import Category, Diff, Field, Named, StepChange
from jessy_build.plan.relations import Known
from jessy_build.steps import diff_metrics, diff_served, side_rows
from jessy_build.steps.sides import Side, pair

KEPT = "rows that passed validation"
NAMED = 4
GENERATED = "rows as they were generated"


def diff(left: str, right: str, overrides: Sequence[str] = (), *, full: bool = False) -> Diff:
    """Of two sides as they are typed. Only what differs, unless all is asked for."""
    return compare(*pair(left, right, overrides), full=full)


def compare(left: Side, right: Side, *, full: bool = False) -> Diff:
    everything = _everything(left, right, full)
    differing = {name: tuple(filter(_differs, found)) for name, found in everything.items()}
    return Diff(
        format=2,
        left=Named(left.name, left.kind, left.model),
        right=Named(right.name, right.kind, right.model),
        same=not any(differing.values()),
        notes=tuple(_notes(left, right, differing)),
        shared=sum(step.relation == "shared" for step in everything["steps"]),
        **(everything if full else differing),
    )


def _everything(left: Side, right: Side, full: bool) -> dict[str, tuple[Any, ...]]:
    return {
        "fields": _fields(left, right, full),
        "steps": relations.compare(_comparable(left, right), _comparable(right, left)),
        "categories": tuple(_categories(left, right, full)),
        "artifacts": tuple(diff_metrics.products(left, right)),
        "metrics": tuple(diff_metrics.metrics(left, right)),
        "cost": tuple(diff_metrics.costs(left, right)),
        "served": diff_served.compare(left, right)[0],
    }


def _comparable(side: Side, other: Side) -> dict[str, Known]:
    """Without the steps that the other side never came to: they are no difference."""
    if not other.known:
        return {}
    return {name: step for name, step in side.known.items() if not other.stopped_before(name)}


def _differs(entry: Any) -> bool:
    match entry:
        case StepChange():
            return entry.relation != "shared"
        case Category():
            items = entry.items
            moved = items is not None and (items.added or items.removed or items.changed)
            return bool(moved or entry.old != entry.new or any(c.old != c.new for c in entry.cells))
        case Field():
            return bool(entry.old != entry.new or entry.lines)
    return bool(entry.old != entry.new)


# Fields


def _fields(left: Side, right: Side, full: bool) -> tuple[Field, ...]:
    contents = {change.field: change for change in _contents(left.known, right.known)}
    old, new = left.config, right.config
    if old is None or new is None:
        old = new = {}
    side = right if right.workspace is not None else left
    return fields.compare(old, new, contents, side.where, full=full)


def _contents(left: Mapping[str, Known], right: Mapping[str, Known]) -> Iterator[Change]:
    """What the files behind the fields say otherwise, as far as it changes a step.

    A remark in a template renders to nothing: then no step was told anything else.
    """
    for name, new in right.items():
        old = left.get(name)
        if old is not None and old.about and new.about and new.kind != "report":
            yield from relations.changes(old, new)


# Rows


def _categories(left: Side, right: Side, full: bool) -> Iterator[Category]:
    if not left.known or not right.known:
        return
    names = list(dict.fromkeys([*side_rows.categories(right), *side_rows.categories(left)]))
    kept = _kept(left, right)
    for name in names:
        same = _same_rows(left, right, name)
        if full or kept or not same:
            yield _category(left, right, name, kept, full)


def _same_rows(left: Side, right: Side, category: str) -> bool:
    old, new = (side.known.get(f"generate:{category}") for side in (left, right))
    if old is None or new is None:
        return False
    return (old.key is not None and old.key == new.key) or (
        old.output is not None and old.output == new.output
    )


def _kept(left: Side, right: Side) -> tuple[side_rows.Rows, side_rows.Rows] | None:
    """What reaches the training, where both sides know it and it differs."""
    old, new = left.known.get("validate"), right.known.get("validate")
    if old is None or new is None or (old.output is not None and old.output == new.output):
        return None
    if not ("validate" in left.artifacts and "validate" in right.artifacts):
        return None
    before, after = side_rows.kept(left), side_rows.kept(right)
    return None if before is None or after is None else (before, after)


def _category(
    left: Side,
    right: Side,
    name: str,
    kept: tuple[side_rows.Rows, side_rows.Rows] | None,
    full: bool,
) -> Category:
    old, new = _generated(left, name), _generated(right, name)
    counted = _counted(left, right, name, (old, new), full)
    if kept is not None:
        items = rows.compare(kept[0].get(name, ()), kept[1].get(name, ()), KEPT)
        return replace(counted, items=items)
    if old is not None and new is not None:
        return replace(counted, items=rows.compare(old, new, GENERATED))
    lacking = [s.name for s, found in ((left, old), (right, new)) if found is None]
    why = f"the rows of {' and '.join(lacking)} are not known here: only counts are compared"
    return replace(counted, unknown="" if _same_rows(left, right, name) else why)


def _counted(
    left: Side,
    right: Side,
    name: str,
    generated: tuple[Sequence[rows.Row] | None, Sequence[rows.Row] | None],
    full: bool,
) -> Category:
    old, new = side_rows.cells(left, name, generated[0]), side_rows.cells(right, name, generated[1])
    table = () if old is None or new is None else rows.cells(old, new, full=full)
    return Category(name, _total(left, name, old), _total(right, name, new), table)


def _total(side: Side, name: str, cells: Mapping[rows.Label, int] | None) -> int | None:
    return side_rows.total(side, name) if cells is None else sum(cells.values())


def _generated(side: Side, name: str) -> Sequence[rows.Row] | None:
    """No rows at all where the side has no such category."""
    return side_rows.generated(side, name) if f"generate:{name}" in side.known else ()


# Notes


def _notes(left: Side, right: Side, differing: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    yield from left.notes
    yield from right.notes
    yield from diff_served.compare(left, right)[1]
    older = [s.step for s in differing["steps"] if s.because.startswith("the step's version")]
    if older and not differing["fields"]:
        yield (
            f"both say the same; they differ since another version of this program made one of"
            f" them: {', '.join(older)}"
        )
    for side, other in ((left, right), (right, left)):
        if unmade := [step for step in other.known if side.known and side.stopped_before(step)]:
            yield f"{side.name} ended before {_few(unmade)}, so that is not compared"
        elif side.workspace is not None and "train" in other.blocks and "train" not in side.blocks:
            yield f"{side.name} has not been built as it stands: what comes of it is not known"


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")

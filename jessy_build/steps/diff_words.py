"""The words and figures of a diff that its text, its Markdown and its page have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jessy_build import units
from jessy_build.plan.changes import differences, shown
from jessy_build.plan.diff import Category, Cell, Cost, Diff, Field, File, Metric

MOST = 8
"""Items of a list that are named one by one."""


def head(diff: Diff) -> str:
    if diff.same:
        return f"{diff.left.name} and {diff.right.name} are the same"
    return f"{_side(diff.left)} → {_side(diff.right)}"


def _side(named: Any) -> str:
    return f"{named.name} ({named.model})" if named.model else str(named.name)


def values(field: Field) -> str:
    """`old → new`; of lists what came and what went; nothing where the lines below tell it."""
    if field.old == field.new:
        return "" if field.lines else value(field.new)
    if field.lines and (_is_long(field.old) or _is_long(field.new)):
        return ""
    if isinstance(field.old, list | tuple) and isinstance(field.new, list | tuple):
        return _lists(field.old, field.new)
    return f"{value(field.old)} → {value(field.new)}"


def value(of: Any) -> str:
    if isinstance(of, Mapping):
        return shown(", ".join(f"{name}: {_item(inner)}" for name, inner in of.items()))
    if isinstance(of, list | tuple):
        return shown(", ".join(map(_item, of)) or "nothing")
    if isinstance(of, bool):
        return "true" if of else "false"
    return shown(of)


def _is_long(of: Any) -> bool:
    return isinstance(of, str) and (len(of) > 60 or "\n" in of)


def _lists(old: Sequence[Any], new: Sequence[Any]) -> str:
    came = [item for item in new if item not in old]
    went = [item for item in old if item not in new]
    if not came and not went:
        return f"{value(old)} → {value(new)}"
    # An item of the same name is the same one, changed.
    names = {item["name"]: item for item in went if _is_named(item)}
    both = [(names[i["name"]], i) for i in came if _is_named(i) and i["name"] in names]
    told = [*(pair[0] for pair in both), *(pair[1] for pair in both)]
    signs = [_changed(old, new) for old, new in both]
    signs += [f"+ {_item(item)}" for item in came if item not in told]
    signs += [f"− {_item(item)}" for item in went if item not in told]
    more = len(signs) - MOST
    return ", ".join(signs[:MOST]) + (f" and {more} more" if more > 0 else "")


def _is_named(item: Any) -> bool:
    return isinstance(item, Mapping) and "name" in item


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    told = [f"{c.field} {value(c.old)} → {value(c.new)}" for c in differences(old, new)]
    return f"{new['name']}: {', '.join(told)}"


def _item(item: Any) -> str:
    if isinstance(item, Mapping):
        name = item.get("name")
        rest = [f"{k}: {v}" for k, v in item.items() if k != "name" and v is not None]
        inner = f" ({', '.join(rest)})" if rest else ""
        return shown(f"{name}{inner}" if name else ", ".join(rest))
    return shown(item)


def counts(old: int | None, new: int | None) -> str:
    if old is None or new is None:
        return f"{_known(old)} → {_known(new)}"
    return f"{old:,} → {new:,}" + (f" ({new - old:+,})" if old != new else "")


def _known(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def cell(of: Cell) -> str:
    return " · ".join(part or "–" for part in (of.topic, of.language, of.level))


def items(category: Category) -> str:
    found = category.items
    if found is None:
        return category.unknown
    told = [
        f"{number:,} {word}"
        for number, word in (
            (found.added, "added"),
            (found.removed, "removed"),
            (found.changed, "answered otherwise"),
        )
        if number
    ]
    return f"{', '.join(told) or 'no item differs'} ({found.of})"


def file(of: File | None) -> str:
    return "none" if of is None else units.size(of.bytes)


def product(old: File | None, new: File | None) -> str:
    if old is not None and new is not None and old.bytes == new.bytes:
        return f"{file(new)}, " + ("the same" if old == new else "other content")
    return f"{file(old)} → {file(new)}"


def figure(unit: str, of: float | None) -> str:
    """Without its unit, but for shares and dollars."""
    if of is None:
        return "unknown"
    if unit == "share":
        return f"{of:.0%}"
    if unit == "s":
        return f"{of:.2f}"
    if unit in ("tokens", "rows"):
        return f"{of:,.1f}".removesuffix(".0")
    return f"{of:.4f}" if isinstance(of, float) and of != int(of) else f"{of:,.0f}"


def metric(of: Metric) -> str:
    unit = {"share": "", "": ""}.get(of.unit, f" {of.unit}")
    return f"{figure(of.unit, of.old)} → {figure(of.unit, of.new)}{unit}"


def evidence(of: Metric) -> str:
    """The interval in a sentence, and whatever else bears on the verdict."""
    told = []
    if of.difference is not None and of.low is not None and of.high is not None:
        low, mean, high = (_signed(of.unit, v) for v in (of.low, of.difference, of.high))
        told.append(f"{mean} on average, 95 % interval {low} to {high}, {of.pairs} prompts")
    elif of.pairs is not None:
        told.append(f"{of.pairs} prompts are too few to tell chance from change")
    if of.note:
        told.append(of.note)
    return "; ".join(told)


def _signed(unit: str, of: float) -> str:
    if unit == "share":
        return f"{100 * of:+.0f} points"
    return f"{of:+.2f}" if unit == "s" else f"{of:+.1f}"


def cost(of: Cost) -> str:
    return f"{_amount(of.measure, of.old)} → {_amount(of.measure, of.new)}"


def _amount(measure: str, of: float | None) -> str:
    if of is None:
        return "unknown"
    return f"${of:,.4f}" if measure == "dollars" else f"{of:,.0f}"


def view(diff: Diff) -> dict[str, Any]:
    """All of it as JSON knows it, and each entry in words."""
    return {
        **asdict(diff),
        "head": head(diff),
        "fields": [_told(f, values(f)) for f in diff.fields],
        "served": [_told(f, values(f)) for f in diff.served],
        "categories": [
            {
                **_told(c, counts(c.old, c.new)),
                "items_told": items(c),
                "cells": [{**asdict(x), "label": cell(x)} for x in c.cells],
            }
            for c in diff.categories
        ],
        "artifacts": [_told(p, product(p.old, p.new)) for p in diff.artifacts],
        "metrics": [{**_told(m, metric(m)), "evidence": evidence(m)} for m in diff.metrics],
        "cost": [_told(c, cost(c)) for c in diff.cost],
    }


def _told(entry: Any, words: str) -> dict[str, Any]:
    return {**asdict(entry), "told": words}


def grouped(fields: Sequence[Field]) -> Iterator[tuple[str, list[Field]]]:
    for group in dict.fromkeys(field.group for field in fields):
        yield group, [field for field in fields if field.group == group]

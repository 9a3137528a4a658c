"""Fields of two recipes: which differ, what each is about, and the text behind a path."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jessy_build.plan.changes import Change, differences
from jessy_build.plan.diff import Field
from jessy_build.plan.text import changed_lines, is_text

Said = Mapping[str, Any]
"""Field → value, as the recipe's author would say it: of a path, the text that lies there."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "name & version": ("name", "version", "description"),
    "base": ("base",),
    "persona & prompts": ("persona",),
    "data": ("teachers", "complexity", "categories", "dataset"),
    "training": ("train",),
    "export": ("export",),
    "modelfile": ("modelfile",),
    "deploy": ("deploy",),
    "evaluation": ("evaluate",),
}
OTHER = "other"
NEVER_TOLD = frozenset(("recipe", "extends"))
"""`extends` says only where fields are written; what they are is compared."""


def group_of(field: str) -> str:
    names = field.split(".")
    if names[0] == "categories" and names[-1] == "prompt":
        return "persona & prompts"
    return next((group for group, tops in GROUPS.items() if names[0] in tops), OTHER)


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    contents: Mapping[str, Change],
    where: Callable[[str], str],
    *,
    full: bool = False,
) -> tuple[Field, ...]:
    """`contents` holds what lies behind the paths of fields, where it came out differently."""
    changes = {change.field: change for change in _changes(old, new)}
    found = [_field(change, contents.get(change.field), where) for change in changes.values()]
    found += [
        _field(change, change, where)
        for name, change in contents.items()
        if not _is_told(name, changes)
    ]
    if full:
        told = {field.field for field in found}
        found += [
            Field(group_of(name), name, value, value, where(name))
            for name, value in _leaves(new)
            if name not in told
        ]
    order = [*GROUPS, OTHER]
    return tuple(sorted(found, key=lambda field: (order.index(field.group), field.field)))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for change in differences(old, new):
        if change.field.partition(".")[0] not in NEVER_TOLD:
            yield from _unfolded(change)


def _unfolded(change: Change) -> Iterator[Change]:
    """A block that is only on one side, field by field, without what it leaves open."""
    if change.old is None and isinstance(change.new, Mapping):
        yield from (Change(name, None, v) for name, v in _leaves(change.new, change.field))
    elif change.new is None and isinstance(change.old, Mapping):
        yield from (Change(name, v, None) for name, v in _leaves(change.old, change.field))
    else:
        yield change


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name in value:
            if at or name not in NEVER_TOLD:
                yield from _leaves(value[name], f"{at}.{name}" if at else str(name))
    elif value is not None and value not in ([], {}, ()):
        yield at, value


def _is_told(name: str, changes: Mapping[str, Change]) -> bool:
    """Whether it, a block around it or a field inside it is told of already."""
    return any(
        name == told or name.startswith(f"{told}.") or told.startswith(f"{name}.")
        for told in changes
    )


def _is_prose(value: Any) -> bool:
    return is_text(value) and not re.fullmatch("[0-9a-f]{64}", value)


def _field(change: Change, content: Change | None, where: Callable[[str], str]) -> Field:
    lines: tuple[str, ...] = ()
    if content is not None and any(map(_is_prose, (content.old, content.new))):
        lines = tuple(changed_lines(str(content.old or ""), str(content.new or "")))
    group, name = group_of(change.field), change.field
    return Field(group, name, change.old, change.new, where(name), lines)

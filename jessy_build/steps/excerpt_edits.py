"""Which excerpts of files were edited that rows are written about, and the line of each edit."""

from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from jessy_build.plan.changes import Change
from jessy_build.steps.excerpts import TEXTS

if TYPE_CHECKING:
    from jessy_build.sources.excerpt import Excerpt

MOST = 8
"""Excerpts that are told one by one. Of more edits their number says enough."""


class Edit(NamedTuple):
    name: str
    old: str | None
    new: str | None
    where: str


def is_one(change: Change) -> bool:
    return f"{TEXTS}." in change.field


def of(
    changes: Sequence[Change], excerpts: "Sequence[Excerpt]", used: Collection[str]
) -> list[Edit]:
    """Of edited or new excerpts only those that some row is about: the others change nothing."""
    now = {excerpt.key: excerpt for excerpt in excerpts}
    keys = {change: change.field.partition(f"{TEXTS}.")[2] for change in changes if is_one(change)}
    meant = {change: key for change, key in keys.items() if key in used or key not in now}
    if len(meant) <= MOST:
        return [_edit(change, key, now.get(key)) for change, key in meant.items()]
    gone = sum(change.old is not None for change in meant)
    there = sum(change.new is not None for change in meant)
    place = next((f"{now[key].path}:{now[key].first}" for key in meant.values() if key in now), "")
    return [Edit(f"{len(meant)} of them", _counted(gone), _counted(there), place)]


def _counted(count: int) -> str | None:
    return f"{count} excerpts" if count else None


def _edit(change: Change, key: str, excerpt: "Excerpt | None") -> Edit:
    if excerpt is None:
        path, _, name = key.partition(" ")
        return Edit(name or path, change.old, change.new, path)
    first = next(_differing(change.old or "", excerpt.text), 0)
    return Edit(excerpt.name, change.old, change.new, f"{excerpt.path}:{excerpt.first + first}")


def _differing(old: str, new: str) -> Iterator[int]:
    """Lines of `new` that are other ones, counted from 0."""
    lines = new.split("\n")
    matcher = SequenceMatcher(None, old.split("\n"), lines, autojunk=False)
    for word, _, _, start, _ in matcher.get_opcodes():
        if word != "equal":
            yield min(start, len(lines) - 1)

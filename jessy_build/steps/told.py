"""Which fields were edited since a step was last decided, and the line where each was edited.

An artifact remembers the recipe as it was when it was made; other fields may have changed since, in
builds that found it just as it was. So the rebuilder's changes are held against the recipe of the
last build that used the artifact: what stood there as it stands now was not edited.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.engine.rebuild import Reason
from jessy_build.plan.changes import Change, differences
from jessy_build.plan.step import Step
from jessy_build.recipe import review, tree
from jessy_build.recipe.paths import Found
from jessy_build.steps import excerpt_edits, reviewed, row_edits
from jessy_build.steps import past as pasts
from jessy_build.steps.items import INCLUDE, Picked, included_in

if TYPE_CHECKING:
    from jessy_build.engine.ledger import Build
    from jessy_build.steps.builds import Workspace

CONTENT = "base.model (content)"
"""What `fetch` calls the files of a local base."""
INCLUDED_FILES = f"{INCLUDE}.files"
"""What `items` calls the files of other tools."""
NAMED = 3
"""Fields that are named in a sentence."""
DECISIONS_NAMED = 5
NEW_BLOCKS: Mapping[str, str] = {
    "generate": "categories.{}",
    "evaluate": "evaluate",
    "score": "evaluate.suites",
    "select": "train.keep",
}
"""Kinds of steps that only a block of the recipe brings about."""


@dataclass(frozen=True)
class Told:
    """A field as the user wrote it; or, of a file that it names, what stands in there."""

    field: str
    old: Any
    new: Any
    where: str = ""


def in_words(reason: Reason, told: Sequence[Told]) -> str:
    """Why a step runs, by the fields that the user knows."""
    if not told:
        return reason.text
    names = list(dict.fromkeys(one.field for one in told))
    if not reason.changes:
        return f"{reason.text}: {names[0]} is new"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more} changed"


@dataclass(frozen=True)
class Edits:
    """What was edited since the last build of a recipe, or since `then`, a resolved recipe."""

    workspace: "Workspace"
    then: Mapping[str, Any] | None = None

    def of(self, step: Step, changes: Sequence[Change]) -> tuple[Told, ...]:
        """`changes` are the rebuilder's; a step that has none may be one of a new block."""
        return tuple(self._of(step, changes) if changes else self._new_block(step))

    def _of(self, step: Step, changes: Sequence[Change]) -> list[Told]:
        then = self.then if self.then is not None else self._last_use(step)
        edited = [c for c in changes if not _stood_so(then, self.now, c)] or changes
        if any(change.field == "base.model" for change in edited):
            # Another base has other files.
            edited = [change for change in edited if not change.field.startswith(CONTENT)]
        reviews, edited = _reviews(edited) if step.kind == "validate" else ([], edited)
        told = [*self._reviewed(reviews), *self._excerpts(step, edited, then)]
        for change in edited:
            if excerpt_edits.is_one(change):
                continue
            told += [one for one in self._told(step, change, then) if one not in told]
        return told

    def _excerpts(
        self, step: Step, changes: Sequence[Change], then: Mapping[str, Any] | None
    ) -> list[Told]:
        """Of files that rows are written about; where the recipe names others, that says it all."""
        if not any(map(excerpt_edits.is_one, changes)):
            return []
        block = f"categories.{step.params['category']}"
        was, now = (_value(config, f"{block}.sources") for config in (then, self.now))
        if then is not None and was != now:
            return []
        dealt = step.payload.questions.dealt
        found = self.workspace.loaded.opened.excerpts[step.params["category"]]
        return [
            Told(f"{block}.sources ({edit.name})", edit.old, edit.new, edit.where)
            for edit in excerpt_edits.of(changes, found, {e.key for e in dealt.used})
        ]

    def _told(self, step: Step, change: Change, then: Mapping[str, Any] | None) -> list[Told]:
        if change.field.startswith(CONTENT):
            return [self._base_file(change)]
        if isinstance(step.payload, Picked) and change.field == INCLUDE:
            was, now = change.old, change.new
            if then is not None:
                was = included_in(then, step.payload.category)
            return [self._included(step.payload.category, was, now)]
        if isinstance(step.payload, Picked) and (files := _files_field(step.payload, change.field)):
            return self._rows(step, step.payload, files, change, then)
        if then is not None and (block := _block(change, then, self.now)):
            was, now = _said(_value(then, block)), _said(_value(self.now, block))
            return [Told(block, was, now, self._place(block))]
        was, now = _value(then, change.field), _value(self.now, change.field)
        if not _names_a_file(was, change.old) and not _names_a_file(now, change.new):
            place = self._place(change.field, change.old, change.new)
            return [Told(change.field, change.old, change.new, place)]
        if then is not None and was != now:
            return [Told(change.field, was, now, self._place(change.field))]
        place = self._in_file(change) or self._place(change.field)
        return [Told(change.field, change.old, change.new, place)]

    @cached_property
    def now(self) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self.workspace.loaded.recipe.model_dump(mode="json")
        return said

    @cached_property
    def _builds(self) -> "Mapping[int, Build]":
        return {b.id: b for b in self.workspace.store.ledger.builds(self.workspace.id)}

    def _last_use(self, step: Step) -> Mapping[str, Any] | None:
        """The recipe of the newest build that ended the step with the artifact of before."""
        artifact = self.workspace.rebuilder.before.get(step.name)
        if artifact is None:
            return None
        for use in self.workspace.store.ledger.decisions.users(artifact.key):
            if use.build in self._builds and use.outcome in ("ran", "reused"):
                return self._builds[use.build].config
        return None

    def _new_block(self, step: Step) -> Iterator[Told]:
        """Of a step that no build had, since the recipe did not have its block."""
        block = NEW_BLOCKS.get(step.kind, "").format(step.name.partition(":")[2])
        # A build that is on its way says itself what it is asked about here.
        others = ("running", pasts.PREVIEWED)
        ended = [build for build in self._builds.values() if build.status not in others]
        if not block or not ended or step.name in self.workspace.rebuilder.before:
            return
        if _value(max(ended, key=lambda build: build.id).config, block) is None:
            yield Told(block, None, _said(_value(self.now, block)), self._place(block))

    # Where

    def _place(self, field: str, old: Any = None, new: Any = None) -> str:
        """Where a field stands; of a list its first item that differs; of what is not written,
        the block that it would stand in."""
        loaded = self.workspace.loaded
        root = loaded.opened.root
        if not loaded.says(field):
            return root.span.file
        span = tree.span(root, (*tree.find(root, field), *_first_difference(old, new)))
        # What was typed on the command line has one line each, and no file to open.
        return span.file if span.file.startswith("--") else f"{span.file}:{span.line}"

    def _in_file(self, change: Change) -> str:
        """The first line that differs in the file that the field names."""
        named = _value(self.now, change.field)
        found = self._file(change.field, named) if isinstance(named, str) else None
        if found is None or not found.path.is_file():
            return ""
        old, new = _lines_of(change.old), _lines_of(change.new)
        number = _line(old, new)
        if isinstance(change.new, list):
            # One item a line, with blank lines between them where there are any.
            written = found.path.read_text("utf-8", "replace").splitlines()
            filled = [n for n, line in enumerate(written) if line.strip()]
            number = filled[min(number, len(filled) - 1)] if filled else 0
        return f"{found.shown}:{number + 1}"

    def _file(self, field: str, named: str) -> Found | None:
        span = self.workspace.loaded.span_of(field)
        folder = self.workspace.loaded.opened.merged.folders.get(span.file)
        return folder.join(named) if folder else None

    def _base_file(self, change: Change) -> Told:
        """A local base is a folder of files, or a file; their digests tell little."""
        name = change.field.removeprefix(CONTENT).lstrip(".")
        _, _, path = self.workspace.loaded.recipe.base.model.partition(":")
        found = self._file("base.model", path)
        where = found.shown if found else path
        where = f"{where}/{name}" if found and found.path.is_dir() else where
        old, new = (value and f"{name} {value[:12]}" for value in (change.old, change.new))
        return Told("base.model", old, new, where)

    def _included(self, category: str, was: Any, now: Any) -> Told:
        """Of all that is included, the blocks of one category."""
        places = [block["category"] == category for block in self.now["dataset"]["include"]]
        where = self._place(INCLUDE, _beside(was, places), _beside(now, places))
        return Told(INCLUDE, was, now, where)

    def _reviewed(self, changes: Sequence[Change]) -> list[Told]:
        """Decision by decision; of a long evening's work only how many there are."""
        where = str(review.path_of(Path(self.workspace.loaded.opened.root.span.file)))
        if len(changes) <= DECISIONS_NAMED:
            return [Told(one.field, one.old, one.new, where) for one in changes]
        was, now = (
            f"{sum(value is not None for value in side)} decisions"
            for side in ([one.old for one in changes], [one.new for one in changes])
        )
        return [Told(f"{reviewed.RULE} ({len(changes)} examples)", was, now, where)]

    def _rows(
        self, step: Step, picked: Picked, files: str, change: Change, then: Mapping[str, Any] | None
    ) -> list[Told]:
        if files == INCLUDED_FILES:
            was, now = (included_in(config, picked.category) for config in (then, self.now))
            file = change.field.removeprefix(f"{INCLUDED_FILES}.")
            if then is not None and was != now:
                return [self._included(picked.category, was, now)]
        else:
            was, now = _value(then, files), _value(self.now, files)
            file = change.field.removeprefix(f"{files}.")
            if then is not None and was != now:
                return [Told(files, was, now, self._place(files, was, now))]
        found = self.workspace.loaded.opened.shown.get(file)
        shown = found.shown if found else file
        before = self.workspace.rebuilder.before.get(step.name)
        rows = row_edits.of(self.workspace.store, before, picked, file) if before else None
        if rows is None:
            return [Told(files, change.old, change.new, shown)]
        where = f"{shown}:{rows.line}" if rows.line else shown
        return [Told(files, rows.old, rows.new, where)]


def _reviews(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Those of single decisions, and the others."""
    found: list[Change] = []
    for change in changes:
        if change.field == reviewed.RULE:
            # One side has no decisions at all.
            found += differences(change.old or {}, change.new or {}, reviewed.RULE)
        elif change.field.startswith(f"{reviewed.RULE}."):
            found.append(change)
    return found, [one for one in changes if one.field.partition(".")[0] != reviewed.RULE]


def _beside(blocks: Sequence[Any], places: Sequence[bool]) -> list[Any]:
    """The blocks of one category at the places where it has some."""
    left = iter(blocks or ())
    return [next(left, None) if its_own else None for its_own in places]


def _files_field(picked: Picked, field: str) -> str:
    if field.startswith(f"{INCLUDED_FILES}."):
        return INCLUDED_FILES
    files = f"teachers.{picked.teacher}.files"
    return files if field.startswith(f"{files}.") else ""


def _stood_so(then: Mapping[str, Any] | None, now: Mapping[str, Any], change: Change) -> bool:
    """Whether the field said the same then, in the same order: categories have one."""
    was, is_now = _value(then, change.field), _value(now, change.field)
    if was is None or _names_a_file(is_now, change.new):
        return False
    return json.dumps(was) == json.dumps(is_now)


def _block(change: Change, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The largest block around the field that only one side has; empty where there is none."""
    whole = isinstance(change.old or change.new, Mapping)
    if change.old is not None and change.new is not None:
        return ""
    block = change.field if whole and _one_sided(change.field, then, now) else ""
    words = change.field.split(".")
    for length in range(len(words) - 1, 0, -1):
        above = ".".join(words[:length])
        block = above if _one_sided(above, then, now) else block
    return block


def _one_sided(field: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return (_value(then, field) is None) != (_value(now, field) is None)


def _said(value: Any) -> Any:
    """Without what is left open."""
    if isinstance(value, Mapping):
        return {name: _said(item) for name, item in value.items() if item is not None}
    return value


def _names_a_file(said: Any, about: Any) -> bool:
    """Whether the recipe says a name where the step was told what stands in that file."""
    return isinstance(said, str) and said != about


def _value(of: Any, field: str) -> Any:
    """What stands at a dotted field of a resolved recipe; None where nothing does."""
    words = field.split(".") if field else []
    if not words:
        return of
    if isinstance(of, list):
        return next(
            (
                _value(item, ".".join(words[n:]))
                for n in range(len(words), 0, -1)
                for item in of
                if _name_of(item) == ".".join(words[:n])
            ),
            None,
        )
    if not isinstance(of, Mapping):
        return None
    for n in range(len(words), 0, -1):
        name = ".".join(words[:n])
        # `validate` is no name that a field of ours can have in Python.
        for key in (name, f"{name}_"):
            if key in of:
                return _value(of[key], ".".join(words[n:]))
    return None


def _name_of(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    return next((item[word] for word in tree.CALLED_BY if word in item), None)


def _first_difference(old: Any, new: Any) -> tuple[str | int, ...]:
    """The way to the first item of `new` that differs, as far as both sides have it."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        name = next((name for name in new if old.get(name) != new[name]), None)
        return () if name is None else (name, *_first_difference(old.get(name), new[name]))
    if not (isinstance(old, list | tuple) and isinstance(new, list | tuple) and new):
        return ()
    number = _line([json.dumps(item) for item in old], [json.dumps(item) for item in new])
    inner = _first_difference(old[number], new[number]) if number < len(old) else ()
    return (number, *inner)


def _lines_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    return [json.dumps(item) for item in value or ()]


def _line(old: Sequence[str], new: Sequence[str]) -> int:
    """The first line of `new` that is another one, or before which one is missing."""
    for word, _, _, start, _ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if word != "equal":
            return min(start, max(len(new) - 1, 0))
    return 0

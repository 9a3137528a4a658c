"""Find one row in the data that steps have stored: lines are searched, few of them are parsed, and
no file is held whole, since there may be very many.

A rejected row whose place another one took is found by its own id or request; whoever asks for its
slot, or for an id that both have, gets the row that stands in the data set.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged
from jessy_build.steps.past import Past

ROWS = "examples.jsonl"
REPLACED = "replaced.jsonl"
"""Rows that took the place of rejected ones, in the artifact of `validate`; `in_place_of` says
whose."""
HEXADECIMAL = frozenset("0123456789abcdef")
ID_LETTERS = 16
"""More of them name a request by its digest."""
SHORTEST = 4
"""Letters of an id that are taken for one."""
SHOWN = 5
"""Of the examples that an ambiguous word may mean."""
FORMS = "an id, its first letters, category/topic/language/level/number, or file.jsonl:12"
CELL = ("category", "topic", "language", "complexity")

Place = tuple[str, str]
"""Category and origin of a row: two categories may ask one teacher the same."""


class Unknown(StepError):
    """Nothing that is stored is called so."""


@dataclass(frozen=True)
class Row:
    """A line of a step's artifact, and its number among those of its cell."""

    artifact: Artifact
    fields: Mapping[str, Any]
    ordinal: int

    @property
    def slot(self) -> str:
        return "/".join((*(str(self.fields[name]) for name in CELL), str(self.ordinal)))

    @property
    def place(self) -> Place:
        return str(self.fields["category"]), str(self.fields["origin"]["source"])


@dataclass(frozen=True)
class _Group:
    """Steps whose rows are looked through together."""

    generated: list[Artifact] = field(default_factory=list)
    validated: list[Artifact] = field(default_factory=list)


def find(past: Past, word: str, recipe: str | None) -> Row:
    """StepError where there is none, or the word may mean several."""
    look = _looker(word)
    gone = 0
    for group in _groups(past, recipe):
        taken = _taken(past, group)
        found: dict[str, Row] = {}
        for artifact in group.generated:
            stored = _Stored(past, artifact)
            gone += not stored.is_here
            for row in look.within(stored):
                _add(found, standing(row, taken, _place) if look.by_slot else row, taken)
        for row in taken.values():
            if look.fits(row):
                _add(found, row, taken)
        if len(found) > 1:
            raise _ambiguous(word, list(found.values()))
        if found:
            return next(iter(found.values()))
    where = f"any build of {recipe}" if recipe else "any build here"
    lost = f"; the rows of {gone} older steps are no longer here" if gone else ""
    raise Unknown(f"no example '{word}' in {where}{lost}", hint=f"name it by {FORMS}")


def _add(found: dict[str, Row], row: Row, taken: Mapping[Place, Row]) -> None:
    """Of rows that ask the same the first that stands."""
    id = str(row.fields["id"])
    if id not in found or (found[id].place in taken and row.place not in taken):
        found[id] = row


def _place(row: Row) -> Place:
    return row.place


# Rows that took a place


def replacements(lines: Iterable[bytes | str]) -> Iterator[tuple[Place, int, dict[str, Any]]]:
    """Of each line of `replaced.jsonl`: whose place was taken, the item's number, and the row."""
    for line in lines:
        fields = json.loads(line)
        there = fields.pop("in_place_of")
        yield (str(fields["category"]), there["source"]), there["ordinal"], fields


T = TypeVar("T")


def standing(row: T, taken: Mapping[Place, T], place: Callable[[T], Place]) -> T:
    """The last of those that took a row's place one after the other, or itself."""
    while (there := place(row)) in taken:
        row = taken[there]
    return row


def _taken(past: Past, group: _Group) -> dict[Place, Row]:
    found: dict[Place, Row] = {}
    for artifact in group.validated:
        for place, ordinal, fields in replacements(lines(past, artifact, REPLACED) or ()):
            found.setdefault(place, Row(artifact, fields, ordinal))
    return found


# Where is looked


def _groups(past: Past, recipe: str | None) -> Iterator[_Group]:
    """What the last builds are made of, then what was made before, one by one."""
    ledger = past.store.ledger
    seen: set[str] = set()
    newest = _Group()
    by_kind = {"generate": newest.generated, "validate": newest.validated}
    for name in [recipe] if recipe else past.recipes():
        for key, _ in ledger.latest(name).values():
            artifact = ledger.artifact(key)
            if artifact is not None and artifact.kind in by_kind and key not in seen:
                by_kind[artifact.kind].append(artifact)
                seen.add(key)
    yield newest
    for artifact in _others(past, "generate", recipe, seen):
        yield _Group([artifact], _validated(past, artifact))
    for artifact in _others(past, "validate", recipe, seen):
        yield _Group([], [artifact])


def _others(past: Past, kind: str, recipe: str | None, seen: set[str]) -> Iterator[Artifact]:
    for artifact in past.store.ledger.artifacts(kind):
        if artifact.key not in seen and (recipe is None or _is_of(past, artifact, recipe)):
            yield artifact


def _validated(past: Past, generated: Artifact) -> list[Artifact]:
    """The newest validation of these rows."""
    ledger = past.store.ledger
    for user in ledger.decisions.users(generated.key):
        decided = ledger.decisions.of_build(user.build).get("validate")
        if decided and (artifact := ledger.artifact(decided.key)):
            return [artifact]
    return []


def _is_of(past: Past, artifact: Artifact, recipe: str) -> bool:
    builds = {build.id for build in past.builds(recipe)}
    return any(user.build in builds for user in past.store.ledger.decisions.users(artifact.key))


def lines(past: Past, artifact: Artifact, file: str = ROWS) -> Iterator[bytes] | None:
    """One after the other; None where they are not here, or no longer what they were."""
    if file not in artifact.tree:
        return None
    try:
        past.store.glance(artifact)
        path = past.store.object(artifact.tree[file][0])
        path.stat()
    except (Damaged, OSError):
        return None
    return _lines(path)


def _lines(path: Path) -> Iterator[bytes]:
    with suppress(OSError), path.open("rb") as file:
        yield from file


class _Stored:
    """The rows of a step, that may be gone through more than once."""

    def __init__(self, past: Past, artifact: Artifact) -> None:
        self.artifact = artifact
        self._past = past
        self.is_here = self._lines() is not None

    def _lines(self) -> Iterator[bytes] | None:
        return lines(self._past, self.artifact)

    def with_sign(self, sign: bytes) -> Iterator[Row]:
        """Rows whose line holds the bytes."""
        for number, line in enumerate(self._lines() or ()):
            if sign in line:
                cell = _cell(line)
                before = islice(self._lines() or (), number)
                yield Row(self.artifact, json.loads(line), sum(cell in one for one in before))

    def nth(self, cell: bytes, ordinal: int) -> Iterator[Row]:
        """That of a cell, if it has so many."""
        of_cell = (line for line in self._lines() or () if cell in line)
        for line in islice(of_cell, ordinal, ordinal + 1):
            yield Row(self.artifact, json.loads(line), ordinal)


# What is looked for


@dataclass(frozen=True)
class _Look:
    within: Callable[[_Stored], Iterator[Row]]
    fits: Callable[[Row], bool]
    """Of a row that took a place."""
    by_slot: bool = False


def _looker(word: str) -> _Look:
    if len(word) >= SHORTEST and HEXADECIMAL.issuperset(word):
        if len(word) <= ID_LETTERS:
            return _by(b'{"id": "' + word.encode(), lambda row: str(row.fields["id"]), word)
        return _by(b'"source": "' + word.encode(), lambda row: row.place[1], word)
    if word.count("/") >= 4 and word.rpartition("/")[2].isdecimal():
        return _Look(lambda stored: _in_slot(stored, word), lambda row: False, by_slot=True)
    source = json.dumps(word, ensure_ascii=False)[1:].encode()

    def is_named(row: Row) -> bool:
        return row.place[1] == word or row.place[1].endswith(f"/{word}")

    return _Look(lambda stored: filter(is_named, stored.with_sign(source)), is_named)


def _by(sign: bytes, name: Callable[[Row], str], word: str) -> _Look:
    return _Look(lambda stored: stored.with_sign(sign), lambda row: name(row).startswith(word))


def _in_slot(stored: _Stored, word: str) -> Iterator[Row]:
    category, _, rest = word.partition("/")
    topic, language, level, ordinal = rest.rsplit("/", 3)
    if stored.artifact.step != f"generate:{category}":
        return
    fields = dict(zip(CELL, (category, topic, language, level), strict=True))
    cell = _cell(json.dumps({"id": "", **fields, "messages": []}, ensure_ascii=False).encode())
    yield from stored.nth(cell, int(ordinal))


def _cell(line: bytes) -> bytes:
    """The part of a line that names category, topic, language and level, as it is written."""
    return line[line.index(b'", "category": ') : line.index(b', "messages": ')]


def _ambiguous(word: str, rows: list[Row]) -> StepError:
    names = [f"{row.fields['id']}  {row.slot}" for row in rows[:SHOWN]]
    more = [f"and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return StepError(
        f"'{word}' may mean {len(rows)} examples:\n  " + "\n  ".join((*names, *more)),
        hint="give more letters of the id, or the whole slot",
    )

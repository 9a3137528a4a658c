"""Find one row in the data that generate steps have stored: lines are searched, not parsed, since
there may be very many."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged
from jessy_build.steps.past import Past

ROWS = "examples.jsonl"
REPLACED = "replaced.jsonl"
"""Rows that took the place of rejected ones; `in_place_of` says whose."""
FILES = {"validate": REPLACED, "generate": ROWS}
"""By the kind of the step that holds them. What was replaced is looked for first."""
HEXADECIMAL = frozenset("0123456789abcdef")
ID_LETTERS = 16
"""More of them name a request by its digest."""
SHORTEST = 4
"""Letters of an id that are taken for one."""
SHOWN = 5
"""Of the examples that an ambiguous word may mean."""
FORMS = "an id, its first letters, category/topic/language/level/number, or file.jsonl:12"


class Unknown(StepError):
    """Nothing that is stored is called so."""


@dataclass(frozen=True)
class Row:
    """A line of a generate step's artifact, and its number among those of its cell."""

    artifact: Artifact
    fields: Mapping[str, Any]
    ordinal: int

    @property
    def slot(self) -> str:
        cell = ("category", "topic", "language", "complexity")
        return "/".join((*(str(self.fields[name]) for name in cell), str(self.ordinal)))


def find(past: Past, word: str, recipe: str | None) -> Row:
    """StepError where there is none, or the word may mean several."""
    look = _looker(word)
    gone = 0
    for group in _groups(past, recipe):
        found: dict[str, Row] = {}
        for artifact in group:
            lines = content(past, artifact, FILES[artifact.kind])
            if lines is None and artifact.kind == "validate":
                continue
            gone += lines is None
            for row in look(artifact, lines or b""):
                found.setdefault(str(row.fields["id"]), row)
        if len(found) > 1:
            raise _ambiguous(word, list(found.values()))
        if found:
            return next(iter(found.values()))
    where = f"any build of {recipe}" if recipe else "any build here"
    lost = f"; the rows of {gone} older steps are no longer here" if gone else ""
    raise Unknown(f"no example '{word}' in {where}{lost}", hint=f"name it by {FORMS}")


def _groups(past: Past, recipe: str | None) -> Iterator[list[Artifact]]:
    """What the last builds are made of, then what was made before, one by one."""
    for kind in FILES:
        yield from _groups_of(past, kind, recipe)


def _groups_of(past: Past, kind: str, recipe: str | None) -> Iterator[list[Artifact]]:
    ledger = past.store.ledger
    seen: set[str] = set()
    newest = []
    for name in [recipe] if recipe else past.recipes():
        for key, _ in ledger.latest(name).values():
            artifact = ledger.artifact(key)
            if artifact is not None and artifact.kind == kind and key not in seen:
                newest.append(artifact)
                seen.add(key)
    yield newest
    for artifact in ledger.artifacts(kind):
        if artifact.key not in seen and (recipe is None or _is_of(past, artifact, recipe)):
            yield [artifact]


def _is_of(past: Past, artifact: Artifact, recipe: str) -> bool:
    builds = {build.id for build in past.builds(recipe)}
    return any(user.build in builds for user in past.store.ledger.decisions.users(artifact.key))


def content(past: Past, artifact: Artifact, file: str = ROWS) -> bytes | None:
    """None where they are not here, or no longer what they were."""
    if file not in artifact.tree:
        return None
    try:
        past.store.glance(artifact)
        return past.store.object(artifact.tree[file][0]).read_bytes()
    except (Damaged, OSError):
        return None


Look = Callable[[Artifact, bytes], Iterator[Row]]


def _looker(word: str) -> Look:
    if len(word) >= SHORTEST and HEXADECIMAL.issuperset(word):
        field = b'{"id": "' if len(word) <= ID_LETTERS else b'"source": "'
        return lambda artifact, lines: _with(artifact, lines, field + word.encode())
    if word.count("/") >= 4 and word.rpartition("/")[2].isdecimal():
        return lambda artifact, lines: _in_slot(artifact, lines, word)
    source = json.dumps(word, ensure_ascii=False)[1:].encode()
    return lambda artifact, lines: (
        row
        for row in _with(artifact, lines, source)
        if row.fields["origin"]["source"] in (word, f"/{word}")
        or row.fields["origin"]["source"].endswith(f"/{word}")
    )


def _with(artifact: Artifact, lines: bytes, sign: bytes) -> Iterator[Row]:
    """Rows whose line holds the bytes. Lines are read, not parsed: there may be very many."""
    at = lines.find(sign)
    while at >= 0:
        start, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
        line = lines[start:end]
        fields = json.loads(line)
        there = fields.get("in_place_of")
        ordinal = there["ordinal"] if there else lines[:start].count(_cell(line))
        yield Row(artifact, fields, ordinal)
        at = lines.find(sign, end)


def _in_slot(artifact: Artifact, lines: bytes, word: str) -> Iterator[Row]:
    if artifact.kind == "validate":
        rows = _with(artifact, lines, b'{"id": "')
        yield from (row for row in rows if row.slot == word)
        return
    category, _, rest = word.partition("/")
    topic, language, level, ordinal = rest.rsplit("/", 3)
    if artifact.step != f"generate:{category}":
        return
    names = ("category", "topic", "language", "complexity")
    fields = dict(zip(names, (category, topic, language, level), strict=True))
    cell = _cell(json.dumps({"id": "", **fields, "messages": []}, ensure_ascii=False).encode())
    at = -1
    for _ in range(int(ordinal) + 1):
        at = lines.find(cell, at + 1)
        if at < 0:
            return
    start, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
    yield Row(artifact, json.loads(lines[start:end]), int(ordinal))


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

"""Where one example comes from and where it went, out of stored artifacts and answers alone."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answer
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged
from jessy_build.steps.past import Past

ROWS = "examples.jsonl"
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


@dataclass(frozen=True)
class Asked:
    """The request as it was rendered, and what the server said of its answer."""

    request: str
    provider: str
    model: str
    prompt: tuple[tuple[str, str], ...]
    """Role and text of each message, as sent."""
    params: Mapping[str, Any]
    max_tokens: int
    sample: int
    attempt: int
    answered_by: str
    answered_at: float
    seconds: float
    usage: Mapping[str, int]


@dataclass(frozen=True)
class Template:
    file: str
    sha256: str
    """Of the text that was rendered, which is the file's where it was written as UTF-8."""


@dataclass(frozen=True)
class Verdict:
    rule: str
    severity: str
    message: str


@dataclass(frozen=True)
class Holder:
    """A build that has the example in a split of its data set."""

    build: int
    recipe: str
    version: str
    split: str


@dataclass(frozen=True)
class Item:
    """What `show --json` prints, and `why --json` about an example."""

    format: Literal[1]
    id: str
    slot: str
    category: str
    topic: str
    language: str
    level: str
    iterations: int | None
    messages: tuple[Mapping[str, str], ...]
    teacher: str
    source: str
    """`file.jsonl:12` of a curated row, the request's digest of an answered one."""
    step: str
    key: str
    """Of the artifact that holds the row."""
    made_at: float
    template: Template | None
    asked: Asked | None
    verdicts: tuple[Verdict, ...]
    """What the validators said in the newest build that has the row."""
    rejected: bool
    held_by: tuple[Holder, ...]


def find(past: Past, word: str, recipe: str | None = None) -> Item:
    """The example that the word means, out of the newest data that has it."""
    return _item(past, _row(past, word, recipe))


# Finding the row


def _row(past: Past, word: str, recipe: str | None) -> Row:
    look = _looker(word)
    gone = 0
    for group in _groups(past, recipe):
        found: dict[str, Row] = {}
        for artifact in group:
            lines = _lines(past, artifact)
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
    ledger = past.store.ledger
    seen: set[str] = set()
    newest = []
    for name in [recipe] if recipe else past.recipes():
        for key, _ in ledger.latest(name).values():
            artifact = ledger.artifact(key)
            if artifact is not None and artifact.kind == "generate" and key not in seen:
                newest.append(artifact)
                seen.add(key)
    yield newest
    for artifact in ledger.artifacts("generate"):
        if artifact.key not in seen and (recipe is None or _is_of(past, artifact, recipe)):
            yield [artifact]


def _is_of(past: Past, artifact: Artifact, recipe: str) -> bool:
    builds = {build.id for build in past.builds(recipe)}
    return any(user.build in builds for user in past.store.ledger.decisions.users(artifact.key))


def _lines(past: Past, artifact: Artifact, file: str = ROWS) -> bytes | None:
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
        yield Row(artifact, json.loads(line), lines[:start].count(_cell(line)))
        at = lines.find(sign, end)


def _in_slot(artifact: Artifact, lines: bytes, word: str) -> Iterator[Row]:
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


# What is known about it


def _item(past: Past, row: Row) -> Item:
    fields, artifact = row.fields, row.artifact
    source = str(fields["origin"]["source"])
    verdicts = tuple(_verdicts(past, row))
    return Item(
        format=1,
        id=str(fields["id"]),
        slot=row.slot,
        category=str(fields["category"]),
        topic=str(fields["topic"]),
        language=str(fields["language"]),
        level=str(fields["complexity"]),
        iterations=fields.get("iterations"),
        messages=tuple(fields["messages"]),
        teacher=str(fields["origin"]["teacher"]),
        source=source,
        step=artifact.step,
        key=artifact.key,
        made_at=artifact.made_at,
        template=_template(past, row),
        asked=_asked(past, source),
        verdicts=verdicts,
        rejected=any(verdict.severity == "error" for verdict in verdicts),
        held_by=tuple(_holders(past, row)),
    )


def _asked(past: Past, source: str) -> Asked | None:
    answer = past.store.ledger.answers.to(source) if len(source) == 64 else None
    question = past.store.ledger.answers.question(answer.stem) if answer else None
    if answer is None or question is None:
        return None
    return _asked_of(answer, question, source)


def _asked_of(answer: Answer, question: Mapping[str, Any], source: str) -> Asked:
    reply = answer.reply
    return Asked(
        request=source,
        provider=str(question["provider"]),
        model=str(question["model"]),
        prompt=tuple((role, text) for role, text in question["messages"]),
        params=question["params"],
        max_tokens=question["max_tokens"],
        sample=answer.sample,
        attempt=answer.attempt,
        answered_by=str(reply["model"]),
        answered_at=answer.made_at,
        seconds=reply["seconds"],
        usage={name: count for name, count in reply["usage"].items() if count},
    )


def _template(past: Past, row: Row) -> Template | None:
    category = row.fields["category"]
    text = row.artifact.about.get(f"categories.{category}.prompt")
    if not isinstance(text, str):
        return None
    users = {user.build for user in past.store.ledger.decisions.users(row.artifact.key)}
    for build in past.builds():
        if build.id in users:
            wanted = build.config["categories"].get(category, {})
            return Template(str(wanted.get("prompt")), digest.of_bytes(text.encode()))
    return Template("", digest.of_bytes(text.encode()))


def _verdicts(past: Past, row: Row) -> Iterator[Verdict]:
    ledger, fields = past.store.ledger, row.fields
    for user in ledger.decisions.users(row.artifact.key):
        decided = ledger.decisions.of_build(user.build).get("validate")
        validated = ledger.artifact(decided.key) if decided else None
        if validated is None:
            continue
        for line in (_lines(past, validated, "findings.jsonl") or b"").splitlines():
            said = json.loads(line)
            if (said["example_id"], said["where"]) == (fields["id"], fields["origin"]["source"]):
                yield Verdict(said["rule"], said["severity"], said["message"])
        return


def _holders(past: Past, row: Row) -> Iterator[Holder]:
    """Builds whose data set has the example with these very messages."""
    builds = {build.id: build for build in past.builds()}
    users = {user.build for user in past.store.ledger.decisions.users(row.artifact.key)}
    for artifact in past.store.ledger.artifacts("assemble"):
        both = [u.build for u in past.store.ledger.decisions.users(artifact.key)]
        both = [id for id in both if id in users and id in builds]
        if both and (split := _split(past, artifact, str(row.fields["id"]))):
            for build in map(builds.__getitem__, both):
                yield Holder(build.id, build.recipe, build.version, split)


def _split(past: Past, assembled: Artifact, id: str) -> str:
    sign = f'"id": "{id}"'.encode()
    for file in assembled.tree:
        if file.endswith(".jsonl") and sign in (_lines(past, assembled, file) or b""):
            return file.removesuffix(".jsonl")
    return ""

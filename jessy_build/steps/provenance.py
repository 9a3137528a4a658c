"""Where one example comes from and where it went, out of stored artifacts and answers alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jessy_build import digest
from jessy_build.engine.answers import Answer
from jessy_build.engine.ledger import Artifact
from jessy_build.example import Mended
from jessy_build.steps import score_rows, stored_rows
from jessy_build.steps.past import Past
from jessy_build.steps.stored_rows import Row


@dataclass(frozen=True)
class Asked:
    """The request as it was rendered, and what the server said of its answer."""

    request: str
    provider: str
    model: str
    prompt: tuple[tuple[str, str], ...]
    """Role and text of each message, as sent."""
    params: Mapping[str, Any]
    sample: int
    attempt: int
    answered_by: str
    answered_at: float
    seconds: float
    usage: Mapping[str, int]
    shown: tuple[str, ...]
    """Questions of earlier rows that stood in the prompt besides, where it reads `asked`."""
    mended: Mended
    """Not empty for an answer that could not be read as it came."""


@dataclass(frozen=True)
class Template:
    file: str
    sha256: str
    """Of the text that was rendered, which is the file's where it was written as UTF-8."""


@dataclass(frozen=True)
class Excerpt:
    """The part of a file that the example was written about."""

    path: str
    lines: str
    """Where it stood when the row was made: `10-24`."""
    name: str
    sha256: str
    """Of its text."""


@dataclass(frozen=True)
class Verdict:
    rule: str
    severity: str
    message: str


@dataclass(frozen=True)
class Judged:
    """What a judge said of it."""

    scores: Mapping[str, int]
    """By criterion, from 1 to 5."""
    reason: str
    teacher: str
    model: str
    request: str
    """The digest of what the judge was asked."""


@dataclass(frozen=True)
class Addition:
    """What an enhancer put into an answer."""

    kind: str
    where: str
    """`start`, `end` or `both`, of the answer."""
    turn: int
    """The answer's place among the messages, from 0."""
    text: str


@dataclass(frozen=True)
class Holder:
    """A build that has the example in a split of its data set."""

    build: int
    recipe: str
    version: str
    split: str
    enhanced: tuple[Addition, ...] = ()
    """What the enhancers put into its answers there, in their order."""


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
    excerpt: Excerpt | None
    asked: Asked | None
    verdicts: tuple[Verdict, ...]
    """What the validators said in the newest build that has the row."""
    rejected: bool
    judged: Judged | None
    """In the newest build that has the row; None where nobody has judged it."""
    held_by: tuple[Holder, ...]
    edited: tuple[Mapping[str, str], ...]
    """What it says in the newest build, where a review has edited it."""


def find(past: Past, word: str, recipe: str | None = None) -> Item:
    """The example that the word means, out of the newest data that has it."""
    return _item(past, stored_rows.find(past, word, recipe))


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
        excerpt=_excerpt(fields["origin"]),
        asked=_asked(past, source),
        verdicts=verdicts,
        rejected=any(verdict.severity == "error" for verdict in verdicts),
        judged=_judged(past, row),
        held_by=tuple(_holders(past, row)),
        edited=_edited(past, row),
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
        sample=answer.sample,
        attempt=answer.attempt,
        answered_by=str(reply["model"]),
        answered_at=answer.made_at,
        seconds=reply["seconds"],
        usage={name: count for name, count in reply["usage"].items() if count},
        shown=tuple(reply.get("shown", ())),
        mended=reply.get("mended", ""),
    )


def _template(past: Past, row: Row) -> Template | None:
    category = row.fields["category"]
    generated = _generated(past, row)
    text = generated.about.get(f"categories.{category}.prompt") if generated else None
    if generated is None or not isinstance(text, str):
        return None
    users = {user.build for user in past.store.ledger.decisions.users(generated.key)}
    for build in past.builds():
        if build.id in users:
            wanted = build.config["categories"].get(category, {})
            return Template(str(wanted.get("prompt")), digest.of_bytes(text.encode()))
    return Template("", digest.of_bytes(text.encode()))


def _generated(past: Past, row: Row) -> Artifact | None:
    """The step that asked the row's question first. A row that took another's place lies in a
    validation, which asked it once more."""
    ledger = past.store.ledger
    if row.artifact.kind == "generate":
        return row.artifact
    step = f"generate:{row.fields['category']}"
    for user in ledger.decisions.users(row.artifact.key):
        decided = ledger.decisions.of_build(user.build).get(step)
        if decided and (artifact := ledger.artifact(decided.key)):
            return artifact
    return None


def _excerpt(origin: Mapping[str, Any]) -> Excerpt | None:
    cited = origin.get("excerpt")
    return Excerpt(**cited) if cited else None


def _verdicts(past: Past, row: Row) -> Iterator[Verdict]:
    fields = row.fields
    for line in _validated(past, row, "findings.jsonl"):
        said = json.loads(line)
        if (said["example_id"], said["where"]) == (fields["id"], fields["origin"]["source"]):
            yield Verdict(said["rule"], said["severity"], said["message"])


def _judged(past: Past, row: Row) -> Judged | None:
    about = (row.fields["id"], row.fields["origin"]["source"])
    for one in score_rows.read(_validated(past, row, score_rows.FILE)):
        if (one.id, one.source) == about:
            return Judged(one.scores, one.reason, one.teacher, one.model, one.request)
    return None


def _edited(past: Past, row: Row) -> tuple[Mapping[str, str], ...]:
    sign = f'"id": "{row.fields["id"]}"'.encode()
    for line in _validated(past, row, stored_rows.ROWS):
        if sign in line and b'"edited": true' in line:
            said = json.loads(line)
            if said.get("edited") and said["origin"] == row.fields["origin"]:
                return tuple(said["messages"])
    return ()


def _validated(past: Past, row: Row, file: str) -> Iterable[bytes]:
    """What the newest validation of the row has written, line by line."""
    ledger = past.store.ledger
    for user in ledger.decisions.users(row.artifact.key):
        decided = ledger.decisions.of_build(user.build).get("validate")
        validated = ledger.artifact(decided.key) if decided else None
        if validated is not None:
            return stored_rows.lines(past, validated, file) or ()
    return ()


def _holders(past: Past, row: Row) -> Iterator[Holder]:
    """Builds whose data set has the example with these very messages."""
    builds = {build.id: build for build in past.builds()}
    users = {user.build for user in past.store.ledger.decisions.users(row.artifact.key)}
    for artifact in past.store.ledger.artifacts("assemble"):
        both = [u.build for u in past.store.ledger.decisions.users(artifact.key)]
        both = [id for id in both if id in users and id in builds]
        if both and (held := _held(past, artifact, row)):
            split, enhanced = held
            for build in map(builds.__getitem__, both):
                yield Holder(build.id, build.recipe, build.version, split, enhanced)


def _held(past: Past, assembled: Artifact, row: Row) -> tuple[str, tuple[Addition, ...]] | None:
    """The split that has it, and what was put into its answers there."""
    sign = f'"id": "{row.fields["id"]}"'.encode()
    for file in assembled.tree:
        if not file.endswith(".jsonl"):
            continue
        lines = stored_rows.lines(past, assembled, file) or ()
        # Rows that ask the same share an id: the one that answers so is meant.
        if found := [json.loads(line) for line in lines if sign in line]:
            held = next((one for one in found if _answers_so(one, row)), found[0])
            enhanced = tuple(Addition(**one) for one in held.get("enhanced", ()))
            return file.removesuffix(".jsonl"), enhanced
    return None


def _answers_so(held: Mapping[str, Any], row: Row) -> bool:
    """Whatever stands around an answer there."""
    texts = [m["content"] for m in held["messages"] if m["role"] != "system"]
    answers = [m["content"].strip() for m in row.fields["messages"]]
    return all(answer in text for answer, text in zip(answers, texts, strict=False))

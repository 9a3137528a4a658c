"""review: the examples of the last build, what was found wrong with them, and what people decide.

Decisions are written into the file beside the recipe as they fall. Two who review at once, or a
`git pull` in between, lose nothing: before each one the file is read again.
"""

import json
import shlex
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jessy_build.diagnostics import StepError
from jessy_build.engine import locks
from jessy_build.example import Example, Message, from_line, read_jsonl
from jessy_build.recipe import review
from jessy_build.recipe.review import Decision
from jessy_build.recipe.text import half_character
from jessy_build.steps import replacing, reviewed, score_rows, scores, stored_rows, validate
from jessy_build.steps.typed import command
from jessy_build.validators import Finding, Judged

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

UNDECIDED = "open"
WORDS = (UNDECIDED, "accept", "reject", "edit")
NO_RULE, ANY_RULE = "none", "any"
MOST_LETTERS = 200_000
"""Of one message that an edit may have."""
PATIENCE = 3.0
"""Seconds that a decision waits for those of another review."""


class Refused(Exception):
    """A request that cannot be done; the page says why."""


class Flag(NamedTuple):
    rule: str
    severity: str
    message: str


@dataclass(frozen=True)
class Row:
    number: int
    id: str
    text: str
    """The digest of its messages: a decision is about just these."""
    category: str
    topic: str
    language: str
    level: str
    messages: tuple[Message, ...]
    teacher: str
    source: str
    flags: tuple[Flag, ...]
    """What the validators of the last build said."""
    scores: tuple[tuple[str, int], ...] = ()
    """What a judge gave, by criterion."""
    reason: str = ""
    """The judge's."""


@dataclass(frozen=True)
class Filter:
    """Empty: all of them."""

    category: str = ""
    language: str = ""
    level: str = ""
    decision: str = ""
    rule: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: Mapping[str, str]) -> "Filter":
        names = ("category", "language", "level", "decision", "rule")
        words = tuple(fold(said.get("q", "")).split())
        return cls(**{name: said.get(name, "") for name in names}, words=words)


@dataclass(frozen=True)
class Opened:
    """What `jessy review --json` prints once the page can be opened."""

    format: Literal[1]
    url: str
    """With the token that opens it."""
    file: str
    """Where decisions are written."""
    rows: int
    decided: int


def rows(workspace: "Workspace") -> list[Row]:
    """Of the last build, in the order of the data set; StepError where there is none."""
    before = workspace.before()
    made = {name: before.get(f"generate:{name}") for name in workspace.loaded.recipe.categories}
    if not any(made.values()):
        build = command("build", *shlex.split(workspace.words), "--until", "validate")
        raise StepError("there are no examples yet", hint=f"build them first: {build}")
    examples = [
        one
        for artifact in filter(None, made.values())
        for one in read_jsonl(workspace.store.view(artifact, artifact.step) / "examples.jsonl")
    ]
    examples = _with_replaced(workspace, examples)
    flags: dict[tuple[str, str], list[Flag]] = {}
    judged = _judged(workspace, examples)
    for found in _findings(workspace, examples, judged):
        # What a review rejected is known from the review itself.
        if found.rule != reviewed.RULE:
            flag = Flag(found.rule, found.severity, found.message)
            flags.setdefault((found.example_id, found.where), []).append(flag)
    return [_row(number, one, flags, judged) for number, one in enumerate(examples)]


def _with_replaced(workspace: "Workspace", examples: list[Example]) -> list[Example]:
    """Rejected rows make room for those that took their place in the last build."""
    validated = workspace.before().get("validate")
    if validated is None or stored_rows.REPLACED not in validated.tree:
        return examples
    path = workspace.store.view(validated, validated.step) / stored_rows.REPLACED
    with path.open(encoding="utf-8") as lines:
        taken = {
            place: from_line(json.dumps(fields))
            for place, _, fields in stored_rows.replacements(lines)
        }
    return [stored_rows.standing(one, taken, replacing.place_of) for one in examples]


def _row(
    number: int,
    one: Example,
    flags: Mapping[tuple[str, str], Sequence[Flag]],
    judged: Mapping[tuple[str, str], Judged],
) -> Row:
    said = judged.get((one.id, one.origin.source))
    return Row(
        number=number,
        id=one.id,
        text=review.text_of(one.messages),
        category=one.category,
        topic=one.topic,
        language=one.language,
        level=one.complexity,
        messages=one.messages,
        teacher=one.origin.teacher,
        source=one.origin.source,
        flags=tuple(flags.get((one.id, one.origin.source), ())),
        scores=tuple(said.scores.items()) if said else (),
        reason=said.reason if said else "",
    )


def _findings(
    workspace: "Workspace",
    examples: Sequence[Example],
    judged: Mapping[tuple[str, str], Judged],
) -> Iterable[Finding]:
    """Of the last build; worked out here where it made none of these rows, as one that broke off
    at just these findings."""
    folder = _validated(workspace)
    if folder is None:
        step = workspace.plan["validate"]
        left = reviewed.applied(examples, step.payload.decided)
        told = {name: one for name, one in judged.items() if name not in left.accepted}
        return validate.check(left, step.params, told)
    with (folder / "findings.jsonl").open(encoding="utf-8") as file:
        return [Finding(**json.loads(line)) for line in file]


def _judged(workspace: "Workspace", examples: Sequence[Example]) -> dict[tuple[str, str], Judged]:
    """What a judge said in the last build, or so far in one that broke off; asks nothing."""
    folder = _validated(workspace)
    if folder is not None:
        file = folder / score_rows.FILE
        lines = score_rows.read(file.read_bytes().splitlines()) if file.exists() else ()
        return {(one.id, one.source): Judged(one.scores, one.reason) for one in lines}
    step = workspace.plan["validate"]
    if (judge := step.payload.judge) is None:
        return {}
    rows = reviewed.applied(examples, step.payload.decided).rows
    answers = workspace.store.ledger.answers
    return {
        scores.key(one.row): Judged(one.said.scores, one.said.reason)
        for one in scores.known(judge, answers, scores.asked_about(judge, rows))
    }


def _validated(workspace: "Workspace") -> Path | None:
    """What the last build made of just these rows."""
    step = workspace.plan["validate"]
    before = workspace.before()
    validated = before.get(step.name)
    made = {name: before[need] for name, need in step.needs.items() if need in before}
    inputs = {name: workspace.store.digest(artifact) for name, artifact in made.items()}
    if validated is None or validated.preimage["inputs"] != inputs:
        return None
    return workspace.store.view(validated, step.name)


def fold(text: str) -> str:
    """Case and marks aside: "tesekkur" finds "Teşekkür", as in the report."""
    text = text.replace("ı", "i").replace("İ", "i")
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


class Desk:
    """The rows and what is decided about them. Safe for threads."""

    def __init__(self, rows: Sequence[Row], recipe: Path, lock: Path) -> None:
        self.rows = rows
        self.file = review.path_of(recipe)
        self._recipe, self._lock = recipe, lock
        self._here = threading.RLock()
        self._folded: dict[int, str] = {}
        self._places: dict[tuple[str, str], int] = {}
        for row in rows:
            self._places.setdefault((row.id, row.text), row.number)
        self._decided: dict[tuple[str, str], Decision] = {}
        self._lapsed: dict[str, str] = {}
        """What was decided about another text of an example, which is gone."""
        self._seen: tuple[int, ...] | None = None
        self._read()

    # Look

    def page(self, wanted: Filter, after: int, count: int) -> dict[str, Any]:
        """The next rows behind a number: decisions may come in between, and none is passed over."""
        with self._here:
            fits = [row for row in self.rows if self._fits(row, wanted)]
            shown = list(islice((row for row in fits if row.number > after), count))
            return {
                "rows": [self.told(row) for row in shown],
                "total": len(fits),
                "more": bool(shown) and shown[-1].number < fits[-1].number,
                "counts": self.counts(),
            }

    def choices(self) -> dict[str, list[str]]:
        """What can be filtered by, in the order in which it first comes."""

        def seen(values: Iterator[str]) -> list[str]:
            return list(dict.fromkeys(value for value in values if value))

        return {
            "category": seen(row.category for row in self.rows),
            "language": seen(row.language for row in self.rows),
            "level": seen(row.level for row in self.rows),
            "rule": sorted({flag.rule for row in self.rows for flag in row.flags}),
        }

    def counts(self) -> dict[str, int]:
        with self._here:
            found = Counter(self._word(row) for row in self.rows)
        return {word: found[word] for word in WORDS}

    def told(self, row: Row) -> dict[str, Any]:
        decision = self._decided.get((row.id, row.text))
        return {
            **{name: getattr(row, name) for name in FIELDS},
            "messages": _plain(row.messages),
            "flags": [flag._asdict() for flag in row.flags],
            "scores": dict(row.scores),
            "decision": decision.decision if decision else UNDECIDED,
            "edited": _plain(decision.messages) if decision else [],
            "lapsed": "" if decision else self._lapsed.get(row.id, ""),
        }

    def _word(self, row: Row) -> str:
        decision = self._decided.get((row.id, row.text))
        return decision.decision if decision else UNDECIDED

    def _fits(self, row: Row, wanted: Filter) -> bool:
        return (
            wanted.category in ("", row.category)
            and wanted.language in ("", row.language)
            and wanted.level in ("", row.level)
            and wanted.decision in ("", self._word(row))
            and _has_rule(row, wanted.rule)
            and all(word in self._text(row) for word in wanted.words)
        )

    def _text(self, row: Row) -> str:
        if row.number not in self._folded:
            decision = self._decided.get((row.id, row.text))
            said = (*row.messages, *(decision.messages if decision else ()))
            parts = (row.id, row.topic, row.source, *(message.content for message in said))
            self._folded[row.number] = fold("\n".join(parts))
        return self._folded[row.number]

    # Decide

    def decide(self, id: str, text: str, word: str, messages: Any = None) -> dict[str, Any]:
        number = self._places.get((id, text))
        if number is None:
            raise Refused("the last build has no such example")
        row = self.rows[number]
        decision = self._decision(row, word, messages)
        with self._here, self._alone():
            self._read()
            if decision is None:
                self._decided.pop((id, text), None)
            else:
                self._decided[decision.about] = decision
            try:
                review.write(self.file, self._decided.values())
                self._seen = _stat(self.file)
            except OSError as error:
                self._seen = None
                raise Refused(f"{self.file.name} cannot be written: {error.strerror}") from None
            self._folded.pop(number, None)
            return {"row": self.told(row), "counts": self.counts()}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Others write as quickly as this one does; who holds on for longer is told about."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with locks.hold_if_free(self._lock) as free:
                    if free:
                        yield
                        return
            except OSError as error:
                raise Refused(f"{self._lock} cannot be locked: {error.strerror}") from None
            if time.monotonic() > until:
                raise Refused("another review is writing its decision; decide again in a moment")
            time.sleep(0.02)

    def _decision(self, row: Row, word: str, messages: Any) -> Decision | None:
        if word not in WORDS:
            raise Refused("no such decision")
        edited = _edited(row, messages) if word == "edit" else ()
        if word == UNDECIDED or edited == row.messages:
            return None
        asked = review.excerpt(row.messages)
        return Decision(row.id, row.text, row.category, word, asked, edited)  # type: ignore[arg-type]

    def _read(self) -> None:
        """Unless the file is just as it was when it was read or written here."""
        if self._seen is not None and self._seen == _stat(self.file):
            return
        self._seen = _stat(self.file)
        found = review.read(self._recipe)
        if found.problems:
            self._seen = None
            first = found.problems[0]
            place = f"{self.file.name}:{first.span.line}"
            raise Refused(f"{place} has to be mended first: {first.problem}")
        self._decided = dict(found.decisions)
        gone = self._decided.keys() - self._places.keys()
        self._lapsed = {about[0]: self._decided[about].decision for about in gone}


FIELDS = (
    *("number", "id", "text", "category", "topic", "language", "level"),
    *("teacher", "source", "reason"),
)


def _stat(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _has_rule(row: Row, rule: str) -> bool:
    if rule in ("", NO_RULE):
        return not rule or not row.flags
    return any(rule in (ANY_RULE, flag.rule) for flag in row.flags)


def _edited(row: Row, messages: Any) -> tuple[Message, ...]:
    """The same turns with other texts."""
    if not isinstance(messages, list) or len(messages) != len(row.messages):
        raise Refused("an edit has as many messages as the example")
    found = []
    for before, text in zip(row.messages, messages, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise Refused("no message may be empty: reject the example instead")
        if len(text) > MOST_LETTERS or half_character(text):
            raise Refused("a message is too long, or holds half a character")
        found.append(Message(before.role, text))
    return tuple(found)

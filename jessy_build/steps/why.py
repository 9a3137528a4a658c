"""why: what a build decided about a step, and the reasons as they were stored when it did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jessy_build import units
from jessy_build.diagnostics import StepError, near
from jessy_build.engine.decisions import Decided
from jessy_build.engine.ledger import Build
from jessy_build.plan import text
from jessy_build.plan.changes import shown
from jessy_build.steps import past as pasts
from jessy_build.steps import provenance
from jessy_build.steps.past import Past
from jessy_build.steps.provenance import Item

NAMED = 3
"""Fields that are named one by one in a sentence."""
NEVER = "never built"
LINES = 20
"""Of a changed text."""


@dataclass(frozen=True)
class Changed:
    field: str
    old: Any
    new: Any
    where: str
    """The recipe's line as it was then."""


@dataclass(frozen=True)
class Input:
    name: str
    step: str
    """The one that made it."""
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Link:
    """One decision about one step in one build."""

    step: str
    outcome: Literal["ran", "reused", "failed", "running", "interrupted", "killed"]
    build: int
    started: float
    seconds: float | None
    """What the step took, where it ran to its end in this build."""
    reason: str
    """In the rebuilder's words; empty where the last build had the very same."""
    changes: tuple[Changed, ...]
    inputs: tuple[Input, ...]
    """Those that came out otherwise than in the build before."""
    made_by: int | None
    """The build that made what this one found."""
    problem: str
    hint: str


@dataclass(frozen=True)
class Document:
    format: Literal[1]
    recipe: str
    step: str
    because: str
    """The whole chain in one sentence."""
    decisions: tuple[Link, ...]
    """First the one that was asked for, then those that it follows from."""


def of(past: Past, recipe: str, word: str) -> Document | Item:
    """The last decision about a step of this name, or else an example."""
    decided = past.store.ledger.decisions.last(recipe, word)
    return _item(past, recipe, word) if decided is None else _of_step(past, recipe, decided)


def of_all(past: Past, recipe: str) -> list[Document]:
    """Every step of the newest build."""
    newest = past.builds(recipe)[0]
    steps = past.store.ledger.decisions.of_build(newest.id).values()
    return [_of_step(past, recipe, decided) for decided in steps]


def _of_step(past: Past, recipe: str, decided: Decided) -> Document:
    builds = {build.id: build for build in past.builds()}
    links = [_link(past, builds, found) for found in _trace(past, decided, set())]
    return Document(1, recipe, decided.step, _sentence(links), tuple(links))


def _item(past: Past, recipe: str, word: str) -> Item:
    """StepError says what else the word could have been."""
    try:
        return provenance.find(past, word, recipe)
    except provenance.Unknown as unknown:
        steps = past.store.ledger.decisions.steps(recipe)
        hint = near(word, steps) or f"steps: {', '.join(steps)}; or {unknown.hint}"
        raise StepError(
            f"no build of {recipe} has a step or an example '{word}'", hint=hint
        ) from None


# Following the reasons back


def _trace(past: Past, decided: Decided, seen: set[tuple[int, str]]) -> Iterator[Decided]:
    """The decision, and those behind it: of the steps whose output changed, or, where it is just
    what was there, of the build that made it."""
    if (decided.build, decided.step) in seen:
        return
    seen.add((decided.build, decided.step))
    yield decided
    decisions = past.store.ledger.decisions
    reason = decided.reason
    if decided.outcome == "reused" and not reason.get("changes") and not reason.get("inputs"):
        maker = decisions.maker(decided.key, decided.build)
        if maker is not None:
            yield from _trace(past, maker, seen)
        return
    others = decisions.of_build(decided.build)
    for name in dict.fromkeys(changed["step"] for changed in reason.get("inputs", ())):
        if name in others:
            yield from _trace(past, others[name], seen)


def _link(past: Past, builds: Mapping[int, Build], decided: Decided) -> Link:
    reason = decided.reason
    maker = None
    if decided.outcome == "reused":
        maker = past.store.ledger.decisions.maker(decided.key, decided.build)
    build = builds[decided.build]
    return Link(
        step=decided.step,
        outcome=_outcome(past, build, decided),
        build=decided.build,
        started=build.started,
        seconds=decided.measured.get("seconds") if decided.outcome == "ran" else None,
        reason=str(reason.get("text", "")),
        changes=tuple(Changed(**changed) for changed in reason.get("changes", ())),
        inputs=tuple(
            Input(i["input"], i["step"], i["old"], i["new"]) for i in reason.get("inputs", ())
        ),
        made_by=maker.build if maker else None,
        problem=str(reason.get("problem", "")),
        hint=str(reason.get("hint", "")),
    )


def _outcome(past: Past, build: Build, decided: Decided) -> Any:
    if decided.outcome != "started":
        return decided.outcome
    status = past.status(build)
    return status if status in (pasts.RUNNING, pasts.KILLED) else "interrupted"


# In words


WORDS: Mapping[str, str] = {
    "ran": "ran",
    "failed": "ran",
    "running": "is running",
    "interrupted": "was running, when build:{build} was interrupted,",
    "killed": "was running, when build:{build} was killed,",
}


def _sentence(links: Sequence[Link]) -> str:
    """Nearest first: report ran because deploy's output changed, deploy ran because …"""
    parts = []
    for number, link in enumerate(links):
        behind = {changed.field for later in links[number + 1 :] for changed in later.changes}
        # Of a step that was just found, what follows is how it was made.
        same = number > 0 and links[number - 1].step == link.step
        parts.append(_clause(link, _causes(link, behind), "where it" if same else link.step))
    return ", ".join(parts)


def _clause(link: Link, causes: Sequence[str], who: str) -> str:
    if link.outcome != "reused":
        word = WORDS[link.outcome].format(build=link.build)
        return f"{who} {word} because {_joined(causes)}"
    by = f"build:{link.made_by}" if link.made_by else "an earlier build"
    if not causes:
        return f"{who} was reused, since nothing that it depends on has changed since {by}"
    return f"{who} was reused, since {by} had made it for just that: {_joined(causes)}"


def _causes(link: Link, behind: set[str]) -> list[str]:
    """A field that is told of a step further back is not told twice."""
    inputs = [f"{name}'s output changed" for name in dict.fromkeys(i.step for i in link.inputs)]
    changes = [c for c in link.changes if not (inputs and c.field in behind)]
    named = [_short(changed) for changed in changes[:NAMED]]
    if len(changes) > NAMED:
        named.append(f"{len(changes) - NAMED} more fields changed")
    if not (named or inputs or link.outcome == "reused"):
        return ["it had never been built" if link.reason == NEVER else link.reason]
    return [*named, *inputs]


def _short(changed: Changed) -> str:
    if text.is_text(changed.old) or text.is_text(changed.new):
        return f"{changed.field} changed"
    return f"{changed.field} {shown(changed.old)} → {shown(changed.new)}"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def lines(found: Document | Item) -> Iterator[str]:
    return _lines(found) if isinstance(found, Document) else _item_lines(found)


def _lines(document: Document) -> Iterator[str]:
    yield document.because
    width = max(len(link.step) for link in document.decisions)
    for link in document.decisions:
        took = f"   {units.duration(link.seconds)}" if link.seconds is not None else ""
        when = pasts.moment(link.started)
        yield ""
        yield f"{link.step:{width}}   {link.outcome:7}   build:{link.build}   {when}{took}"
        yield from (f"    {line}" for line in _details(link))


def _details(link: Link) -> Iterator[str]:
    if link.problem:
        yield f"failed: {link.problem}"
    if link.hint:
        yield f"hint: {link.hint}"
    for changed in link.changes:
        yield from _change(changed)
    for came in link.inputs:
        yield f"{came.step} came out otherwise: {shown(came.old)} → {shown(came.new)}"
    if not link.changes and not link.inputs and link.reason:
        yield link.reason
    if link.made_by is not None and link.made_by != link.build:
        yield f"made by build:{link.made_by}"


def _change(changed: Changed) -> Iterator[str]:
    if not (text.is_text(changed.old) or text.is_text(changed.new)):
        old, new = shown(changed.old), shown(changed.new)
        yield f"{changed.field}: {old} → {new}   {changed.where}".rstrip()
        return
    yield f"{changed.field}:   {changed.where}".rstrip()
    for line in text.changed_lines(str(changed.old or ""), str(changed.new or ""), LINES):
        yield f"  {line}"


def _item_lines(item: Item) -> Iterator[str]:
    """In short; `show` tells the whole of it."""
    yield f"{item.id}  {item.slot}"
    if item.asked is None:
        yield f"    a row of the teacher {item.teacher}: {item.source}"
    else:
        when = pasts.moment(item.asked.answered_at)
        yield f"    {item.teacher} ({item.asked.answered_by}) answered it on {when}"
        yield f"    request {item.asked.request}"
    if item.template:
        yield f"    template {item.template.file}   sha256 {item.template.sha256[:12]}"
    for verdict in item.verdicts:
        word = "rejected by" if verdict.severity == "error" else "warned of by"
        yield f"    {word} {verdict.rule}: {verdict.message}"
    for holder in item.held_by[:1]:
        yield f"    in {holder.split} of build:{holder.build}"


def to_json(found: Document | Item) -> dict[str, Any]:
    return {"format": 1, **asdict(found)}

"""why: what a build decided about a step, and the reasons as they were stored when it did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jessy_build import units
from jessy_build.diagnostics import StepError, near
from jessy_build.plan import text
from jessy_build.plan.changes import shown
from jessy_build.steps import past as pasts
from jessy_build.steps import provenance, stored_rows
from jessy_build.steps.past import Past
from jessy_build.steps.provenance import Item
from jessy_build.steps.trail import Changed, Link, Trail

NAMED = 3
"""Fields that are named one by one in a sentence."""
NEVER = "never built"
LINES = 20
"""Of a changed text."""


@dataclass(frozen=True)
class Chain:
    step: str
    because: str
    """The whole of it in one sentence."""
    decisions: tuple[Link, ...]
    """First the last one about the step, then those that it follows from."""


@dataclass(frozen=True)
class Document:
    format: Literal[1]
    recipe: str
    steps: tuple[Chain, ...]
    """The one that was asked for, or all of the newest build."""


def of(past: Past, recipe: str, word: str | None) -> Document | Item:
    """The last decision about a step of this name, or else an example."""
    decisions = past.store.ledger.decisions
    if word is None:
        # One that was killed early, or only a preview, has decided nothing.
        decided = (decisions.of_build(build.id) for build in past.builds(recipe))
        found = list(next(filter(None, decided), {}).values())
    elif last := decisions.last(recipe, word):
        found = [last]
    else:
        return _item(past, recipe, word)
    trail = Trail(past)
    return Document(1, recipe, tuple(_chain(trail.of(decided)) for decided in found))


def _chain(links: Sequence[Link]) -> Chain:
    return Chain(links[0].step, _sentence(links), tuple(links))


def _item(past: Past, recipe: str, word: str) -> Item:
    """StepError says what else the word could have been."""
    try:
        return provenance.find(past, word, recipe)
    except stored_rows.Unknown as unknown:
        steps = past.store.ledger.decisions.steps(recipe)
        hint = near(word, steps) or f"steps: {', '.join(steps)}; or {unknown.hint}"
        raise StepError(
            f"no build of {recipe} has a step or an example '{word}'", hint=hint
        ) from None


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
        who = "where it" if same else link.step
        parts.append(_clause(link, _causes(link, behind), who, links[0].build))
    return ", ".join(parts)


def _clause(link: Link, causes: Sequence[str], who: str, newest: int) -> str:
    if link.outcome != "reused":
        word = WORDS[link.outcome].format(build=link.build)
        before = "" if link.build == newest or who == "where it" else f" in build:{link.build}"
        return f"{who} {word}{before} because {_joined(causes)}"
    by = f"build:{link.made_by}" if link.made_by else "an earlier build"
    if not causes:
        return f"{who} was reused, since nothing that it depends on has changed since {by}"
    return f"{who} was reused, since {by} had made it for just that: {_joined(causes)}"


def _causes(link: Link, behind: set[str]) -> list[str]:
    """A field that is told of a step further back is not told twice."""
    inputs = [f"{name}'s output changed" for name in link.through]
    changes = [c for c in link.changes if not (inputs and c.field in behind)]
    named = [_short(changed) for changed in changes[:NAMED]]
    if len(changes) > NAMED:
        named.append(f"{len(changes) - NAMED} more fields changed")
    if not (named or inputs or link.outcome == "reused"):
        return ["it had never been built" if link.reason == NEVER else link.reason]
    return [*named, *inputs]


def _short(changed: Changed) -> str:
    if text.by_lines(changed.old, changed.new):
        return f"{changed.field} changed"
    return f"{changed.field} {shown(changed.old)} → {shown(changed.new)}"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def lines(found: Document | Item) -> Iterator[str]:
    if not isinstance(found, Document):
        return _item_lines(found)
    if len(found.steps) == 1:
        return _lines(found.steps[0])
    return (chain.because for chain in found.steps)


def _lines(chain: Chain) -> Iterator[str]:
    yield chain.because
    width = max(len(link.step) for link in chain.decisions)
    for link in chain.decisions:
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
        if came.step in link.through:
            yield f"{came.step} came out otherwise: {shown(came.old)} → {shown(came.new)}"
    if not link.changes and not link.inputs and link.reason:
        yield link.reason
    if link.made_by is not None and link.made_by != link.build:
        yield f"made by build:{link.made_by}"


def _change(changed: Changed) -> Iterator[str]:
    if not text.by_lines(changed.old, changed.new):
        old, new = shown(changed.old), shown(changed.new)
        yield f"{changed.field}: {old} → {new}   {changed.where}".rstrip()
        return
    yield f"{changed.field}:   {changed.where}".rstrip()
    old, new = text.lines_of(changed.old), text.lines_of(changed.new)
    for line in text.changed_lines(old, new, LINES):
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
    return asdict(found)

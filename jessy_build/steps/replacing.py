"""`on_reject: replace`: a row that breaks a rule gives its place to another answer to its question.

All rows are judged, what was rejected is asked afresh, and all are judged again, until every place
is filled with a row that stands, or has had all its rounds. Each round follows from the answers
alone: the same answers give the same rows, and a build that was killed asks nothing again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answer
from jessy_build.engine.kind import Job
from jessy_build.example import Example, Reply
from jessy_build.steps import desk, generate
from jessy_build.steps.desk import TRIES, Asking, Counts, Open
from jessy_build.steps.stored_rows import Place

if TYPE_CHECKING:
    from jessy_build.validators import Finding

ROUNDS = 5
"""Rows that may be asked in place of one, before its shortfall is told."""
SHOWN = 10

Judge = Callable[[Sequence[Example]], "list[Finding]"]
"""Gives what is wrong with the rows; warnings may be among it."""

Spared = Callable[[Example], bool]
"""Whether a row stays although it breaks a rule, be it a first one or one that took a place."""


def place_of(row: Example) -> Place:
    return row.category, row.origin.source


class Swap(NamedTuple):
    """A row that was rejected, and what took its place."""

    gone: Example
    taken: Example
    ordinal: int
    """Of the item, in its cell."""


@dataclass
class Replaced:
    rows: list[Example]
    """As many as came in, in the same order."""
    findings: "list[Finding]"
    """About these rows."""
    swaps: list[Swap] = field(default_factory=list)
    rejected: "list[Finding]" = field(default_factory=list)
    """What was found about the rows that are gone."""
    counts: Counts = field(default_factory=Counts)

    @property
    def bad(self) -> list[int]:
        """The places of rows that break a rule. The category is part of an id."""
        named = {(f.example_id, f.where) for f in self.findings if f.severity == "error"}
        return [n for n, row in enumerate(self.rows) if (row.id, row.origin.source) in named]


def replaced(
    job: Job,
    rows: Sequence[Example],
    judge: Judge,
    asking: Mapping[str, Asking],
    spared: Spared = lambda row: False,
) -> Replaced:
    """`asking` are the categories that ask, by name. Rows of others stay, with what was found, and
    so do those that are spared."""
    made = Replaced(list(rows), judge(rows))
    places = _Places(job, asking, rows)
    for _ in range(ROUNDS):
        bad = [place for place in made.bad if not spared(made.rows[place])]
        open_ = {place: item for place in bad if (item := places.next(place)) is not None}
        if not open_:
            break
        job.note(f"{len(open_)} rows were rejected, and others are asked in their place")
        made.counts.total = made.counts.filled + len(open_)
        import asyncio

        asyncio.run(places.ask(open_, made.counts))
        gone = {(made.rows[place].id, made.rows[place].origin.source) for place in open_}
        made.rejected += [f for f in made.findings if (f.example_id, f.where) in gone]
        for place, item in open_.items():
            if (row := places.row(place, item)) is not None:
                made.swaps.append(Swap(made.rows[place], row, item.ordinal))
                made.rows[place] = row
        made.findings = judge(made.rows)
    return made


class _Places:
    """The items behind the rows, and the attempt that each is at."""

    def __init__(
        self,
        job: Job,
        asking: Mapping[str, Asking],
        rows: Sequence[Example],
    ) -> None:
        self._job = job
        self._asking = asking
        self._rows = rows
        self._at: dict[int, Open] = {}
        """Where another row was asked for, or will be."""

    def next(self, place: int) -> Open | None:
        """The attempts that may follow; None where there is nobody to ask."""
        row = self._rows[place]
        if place not in self._at:
            if (item := self._items.get(place_of(row))) is None:
                return None
            self._at[place] = item
        now = self._at[place]
        then = now._replace(attempt=now.attempt + 1, last=now.attempt + 1 + TRIES)
        self._at[place] = then
        return then

    async def ask(self, open_: Mapping[int, Open], counts: Counts) -> None:
        import asyncio

        by_category: dict[str, list[Open]] = {}
        for place, item in open_.items():
            if self._filled(item) is not None:
                counts.remembered += 1
                continue
            by_category.setdefault(self._rows[place].category, []).append(item)
        await asyncio.gather(
            *[
                # A batch may take a day, and there may be five rounds: these are asked one by one.
                desk.fill(
                    self._job, replace(self._asking[category], in_batches=False), wanted, counts
                )
                for category, wanted in by_category.items()
            ]
        )

    def row(self, place: int, item: Open) -> Example | None:
        """What came of it; the place is then at that attempt."""
        if (answer := self._filled(item)) is None:
            return None
        self._at[place] = item._replace(attempt=answer.attempt)
        asking = self._asking[self._rows[place].category]
        return generate.example(asking, item.cell, item.ordinal, Reply.of(answer.reply))

    def _filled(self, item: Open) -> Answer | None:
        for attempt in range(item.attempt, item.last):
            answer = self._job.answers.one(item.stem, item.sample, attempt)
            if answer is not None and answer.usable:
                return answer
        return None

    @cached_property
    def _items(self) -> dict[Place, Open]:
        """By the request of each answer that a build may have taken first."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[Place, Open]]:
        for category, asking in self._asking.items():
            for cell in asking.questions.cells:
                for ordinal in range(cell.rows):
                    for attempt in range(TRIES):
                        item = Open(cell, ordinal, attempt)
                        yield (category, item.request), item


def shortfall(made: Replaced, bad: Sequence[int]) -> StepError:
    """A table by cell: how many rows are wanted, how many stand, and why the others do not."""
    why = {(f.example_id, f.where): f for f in made.findings if f.severity == "error"}
    wanted, lacking = Counter(map(_cell, made.rows)), Counter(_cell(made.rows[n]) for n in bad)
    reasons: dict[str, Finding] = {}
    for place in bad:
        row = made.rows[place]
        reasons.setdefault(_cell(row), why[row.id, row.origin.source])
    lines = [
        f"{cell}: {wanted[cell] - lacking[cell]} of {wanted[cell]} rows"
        f" ({finding.rule}: {finding.message})"
        for cell, finding in reasons.items()
    ]
    more = [f"and {len(lines) - SHOWN} more cells"] if len(lines) > SHOWN else []
    return StepError(
        f"{len(bad)} of {len(made.rows)} rows break the rules, and nothing could take their"
        " place:\n  " + "\n  ".join([*lines[:SHOWN], *more]),
        hint="the answers are kept; mend curated rows, change the prompt or the rule, or set"
        " dataset.validate.on_reject: drop to go on without them",
    )


def _cell(row: Example) -> str:
    return " · ".join((row.category, row.topic, row.language, row.complexity))

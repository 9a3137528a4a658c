"""What a judge says of the rows: asked where it is not known, and read out of the answers.

The answers are answers like any others: paid for once, kept in the ledger, put right by the judge
where they cannot be read, and stopped by the budget.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answers
from jessy_build.engine.kind import Job
from jessy_build.example import Example, Reply, Request
from jessy_build.steps import desk
from jessy_build.steps.desk import TRIES, Asking, Counts
from jessy_build.steps.items import Cell, Questions
from jessy_build.steps.judge import Judge
from jessy_build.teachers import scoring
from jessy_build.teachers.asking import ONE_TURN

if TYPE_CHECKING:
    from jessy_build.validators import Finding, Judged

Key = tuple[str, str]
"""Id and origin of a row."""
AT_ONCE = 1000
"""Questions that are looked for in the ledger together."""
SHOWN = 10


@dataclass(frozen=True)
class Scored:
    """A row, and what the judge said of it."""

    row: Example
    said: scoring.Scores
    reply: Reply


def key(row: Example) -> Key:
    return row.id, row.origin.source


Asked = tuple[Example, str]
"""A row, and the stem of the question about it."""


def asked_about(judge: Judge, rows: Iterable[Example]) -> Iterator[Asked]:
    """The rows that are to be judged."""
    return ((row, judge.request(row).stem) for row in rows if row.category in judge.categories)


def known(judge: Judge, answers: Answers, asked: Iterable[Asked]) -> Iterator[Scored]:
    """Those that are judged already."""
    left = iter(asked)
    while some := list(islice(left, AT_ONCE)):
        replies: dict[str, Reply] = {}
        for answer in answers.of(sorted({stem for _, stem in some})):
            if answer.usable:
                replies.setdefault(answer.stem, Reply.of(answer.reply))
        for row, stem in some:
            if (reply := replies.get(stem)) is not None:
                yield Scored(row, scoring.parse(reply.text, judge.criteria), reply)


@dataclass
class Bench:
    """Where the rows of one build are judged, those that break no other rule."""

    job: Job
    judge: Judge | None
    goes_on: bool
    """Whether the build goes on without rows that break a rule; else no other one is judged once
    there are any."""
    scored: dict[Key, Scored] = field(default_factory=dict)
    asked: int = 0
    batches: bool = True
    """Those asked first may go as a batch; what takes their place is waited for."""

    def findings(
        self,
        rows: Sequence[Example],
        accepted: Collection[Key],
        check: "Callable[[Mapping[Key, Judged]], list[Finding]]",
    ) -> "list[Finding]":
        """What `check` finds, given the scores. A row that falls may leave its place to one that
        asked the same, and so was not judged: it goes on until all that stand are."""
        while True:
            found = check(self._told(accepted))
            if self.judge is None:
                return found
            bad = {(f.example_id, f.where) for f in found if f.severity == "error"}
            if bad and not self.goes_on:
                return found
            open_ = [row for row in rows if key(row) not in bad and key(row) not in self.scored]
            asked = list(asked_about(self.judge, open_))
            if not asked:
                return found
            self._judge(self.judge, asked)

    def _told(self, accepted: Collection[Key]) -> "dict[Key, Judged]":
        """Without what a person has decided about: a judge does not overrule them."""
        from jessy_build.validators import Judged

        return {
            name: Judged(one.said.scores, one.said.reason)
            for name, one in self.scored.items()
            if name not in accepted
        }

    def _judge(self, judge: Judge, asked: Sequence[Asked]) -> None:
        # Rows that say the same are judged together.
        rows = {stem: row for row, stem in asked}
        counts = _ask(self.job, judge, rows, in_batches=self.batches)
        self.asked += counts.asked
        self.batches = False
        if counts.short:
            raise _shortfall(judge, list(rows.values()), counts)
        for one in known(judge, self.job.answers, asked):
            self.scored[key(one.row)] = one

    @property
    def measured(self) -> Counter[str]:
        """The tokens that the scores once took, each answer counted once."""
        replies = {one.reply.request: one.reply for one in self.scored.values()}
        return sum((Counter(reply.usage.measures) for reply in replies.values()), Counter())


def _ask(job: Job, judge: Judge, rows: Mapping[str, Example], *, in_batches: bool) -> Counts:
    """`rows` by the stems of their questions."""
    of = list(rows.values())
    cell = Cell("", "", "", len(of), tuple(rows), (0,) * len(of))

    def request(cell: Cell, ordinal: int, asked: Sequence[str] = ()) -> Request:
        return judge.request(of[ordinal])

    questions = Questions("", (cell,), request, lambda *_: ONE_TURN)
    asking = Asking(
        judge.config,
        judge.teacher,
        questions,
        in_batches,
        read=lambda text, _: scoring.parse(text, judge.criteria),
    )
    missing = list(desk.missing(job, questions))
    counts = Counts(total=len(of))
    counts.remembered = counts.total - len(missing)
    if missing:
        job.note(f"{judge.teacher} judges {len(missing)} rows")
    import asyncio

    asyncio.run(desk.fill(job, asking, missing, counts))
    return counts


def _shortfall(judge: Judge, rows: Sequence[Example], counts: Counts) -> StepError:
    lines = [
        f"{rows[slot.ordinal].id} ({rows[slot.ordinal].origin.source}): {problem}"
        for slot, problem in sorted(counts.short.items(), key=lambda one: one[0].ordinal)
    ]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return StepError(
        f"'{judge.teacher}' gave {len(lines)} of {counts.total} rows no scores in {TRIES} tries:"
        "\n  " + "\n  ".join([*lines[:SHOWN], *more]),
        hint="what it said is kept; raise its max_tokens, change the rubric or"
        " dataset.validate.judge.prompt, or take another teacher as the judge",
    )

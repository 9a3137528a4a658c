"""Where items are asked for, one after the other or together, and their answers written down.

An attempt at an item is a question and, where its answer cannot be read, the same conversation
with what is wrong as one more turn, and at last a mending of the text by ourselves. Then the
question is asked afresh.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import teachers
from jessy_build.engine.answers import Answer, Answers, Spent
from jessy_build.engine.kind import Job
from jessy_build.example import BATCH, Reply, Request, request_digest
from jessy_build.steps import answered, items, weights
from jessy_build.steps.asked_before import Before, rounds
from jessy_build.steps.items import Cell, Questions
from jessy_build.steps.sending import LOOKED_EVERY, Sending
from jessy_build.teachers import correction
from jessy_build.teachers.asking import Shape

if TYPE_CHECKING:
    from jessy_build.engine.journal import Journal
    from jessy_build.plan.slots import Slot

TRIES = 3
"""Fresh answers asked for one item before its shortfall is reported."""
TOLD_EVERY = 0.1
"""Seconds between two reports of progress, so that a fast teacher is not slowed by them."""


@dataclass(frozen=True)
class Asking:
    """What a step that asks works on."""

    config: Any
    teacher: str
    questions: Questions
    in_batches: bool = True
    """Whether there is time to send a batch, and to wait for one that is under way."""
    read: Callable[[str, Shape], Any] = teachers.parse
    """What an answer says, by its text and shape; raises `Malformed`. Not all are examples."""

    @property
    def rows(self) -> int:
        return self.questions.rows


class Open(NamedTuple):
    """An item that is to be filled."""

    cell: Cell
    ordinal: int
    attempt: int
    """The first that is looked at; what is known of it is not asked again."""
    last: int = TRIES
    """From this number on there are none."""

    @property
    def stem(self) -> str:
        return self.cell.stem(self.ordinal)

    @property
    def sample(self) -> int:
        return self.cell.sample(self.ordinal)

    @property
    def request(self) -> str:
        """The digest of its request, without the work of rendering it."""
        return request_digest(self.stem, self.sample, self.attempt)


@dataclass
class Counts:
    """How far the items of a category have come."""

    total: int = 0
    asked: int = 0
    remembered: int = 0
    malformed: int = 0
    short: "dict[Slot, str]" = field(default_factory=dict)
    """Items that no try has filled, and why the last one did not."""

    @property
    def filled(self) -> int:
        return self.remembered + self.new

    new: int = 0


def missing(job: Job, questions: Questions) -> Iterator[Open]:
    for cell in questions.cells:
        failed = job.answers.failed(cell.stems)
        for ordinal in items.open_items(cell, job.answers):
            tried = failed.get((cell.stem(ordinal), cell.sample(ordinal)), 0)
            item = Open(cell, ordinal, 0)
            yield reopened(job.answers, questions, item, tried) if tried else item


def reopened(answers: Answers, questions: Questions, item: Open, tried: int) -> Open:
    """At the first answer that was cut off where it would have more room today; else at the last,
    whose asker was perhaps killed before it could be put right."""
    room = questions.request(item.cell, item.ordinal).max_tokens
    for attempt in range(tried):
        known = answers.one(item.stem, item.sample, attempt)
        if known is not None and Reply.of(known.reply).is_cut_below(room):
            return item._replace(attempt=attempt)
    return item._replace(attempt=tried - 1)


async def fill(job: Job, asking: Asking, wanted: Sequence[Open], counts: Counts) -> None:
    """After a failure nothing new is asked, and what is under way is waited for: it is being paid
    for, so it is kept."""
    if not wanted:
        return
    import asyncio

    from jessy_build.engine.journal import Journal

    teacher = await weights.open(job, asking.config)
    with Journal(job.answers) as journal:
        desk = _Desk(job, asking, teacher, journal, counts)
        everything = asyncio.ensure_future(desk.fill(wanted))
        watch = asyncio.create_task(_watch(job))
        try:
            await asyncio.wait((everything, watch), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                raise KeyboardInterrupt
            await everything
        finally:
            everything.cancel()
            watch.cancel()
            await asyncio.gather(everything, watch, return_exceptions=True)
            await teacher.close()
    if desk.failures:
        raise desk.failures[0]


async def _watch(job: Job) -> None:
    import asyncio

    while not job.cancelled():
        await asyncio.sleep(0.1)


@dataclass
class _Desk:
    """Where one item after the other is asked, and its answer written down."""

    job: Job
    asking: Asking
    teacher: teachers.Teacher
    journal: "Journal"
    counts: Counts
    failures: list[Exception] = field(default_factory=list)
    """After the first one nothing new is asked."""
    told: float = 0.0

    def __post_init__(self) -> None:
        self._before = Before(self.job.answers, self.asking.questions)
        self.sending = Sending(
            self.job, self.asking.config, self.asking.teacher, self.teacher, self._go_on
        )

    async def fill(self, wanted: Sequence[Open]) -> None:
        for some in rounds(self.asking.questions, wanted):
            if not self.failures:
                await self._fill_all(some)

    async def _fill_all(self, wanted: Sequence[Open]) -> None:
        import asyncio

        queue = iter(await self._batched(wanted))

        async def work() -> None:
            for item in queue:
                if self.failures:
                    return
                try:
                    await self._fill(item)
                except Exception as error:
                    self.failures.append(error)

        await asyncio.gather(*[work() for _ in range(min(self.teacher.concurrency, len(wanted)))])

    async def _batched(self, wanted: Sequence[Open]) -> Sequence[Open]:
        """Collects what was sent as a batch before, sends one where the recipe says so, and
        returns what is still open."""
        if (server := teachers.in_batches(self.teacher)) is None:
            return wanted
        of = {item.request: item for item in wanted}
        batches = self.job.answers.batches
        under_way = {r for batch in batches.waiting(of) for r in batches.requests(batch)}
        if not self.asking.in_batches:
            for digest in under_way & of.keys():
                slot = self.asking.questions.slot(of[digest].cell, of[digest].ordinal)
                self.counts.short[slot] = "waits in a batch"
            return [item for digest, item in of.items() if digest not in under_way]
        if not (self.asking.config.batch or under_way):
            return wanted
        from jessy_build.steps.batching import Batching

        everything = {digest: self._request(item) for digest, item in of.items()}
        questions = {d: q for d, q in everything.items() if not self._known(q, of[d].stem)}

        async def keep(request: Request, reply: Reply) -> None:
            item = of[request.digest]
            problem = await self._keep(request, reply, item, item.stem)
            self._count(problem)
            self.counts.new += not problem
            self._tell()

        batching = Batching(self.sending, server, keep)
        await batching.collect(questions)
        if self.asking.config.batch:
            left = {d: q for d, q in questions.items() if not self._known(q, of[d].stem)}
            await batching.send(left)
        return [
            item
            for digest, item in of.items()
            if not ((known := self._known(everything[digest], item.stem)) and known.usable)
        ]

    async def _fill(self, item: Open) -> None:
        problem = "every try so far was unusable"
        for attempt in range(item.attempt, item.last):
            this = item._replace(attempt=attempt)
            request = self._request(this)
            async with self._alone(request):
                problem = await self._tried(request, this)
            if not problem:
                self._tell()
                return
        self.counts.short[self.asking.questions.slot(item.cell, item.ordinal)] = problem

    def _request(self, item: Open) -> Request:
        first = self._before.request(item.cell, item.ordinal)
        return first._replace(attempt=item.attempt)

    @asynccontextmanager
    async def _alone(self, request: Request) -> AsyncIterator[None]:
        """Another version of a recipe may be asking the same now: its answer is waited for."""
        import asyncio

        while True:
            with self.job.answers.alone(request.digest) as free:
                if free:
                    yield
                    return
            self._go_on()
            await asyncio.sleep(LOOKED_EVERY)

    async def _tried(self, request: Request, item: Open) -> str:
        """Returns why the answers cannot become an example; empty when one can."""
        known = self._known(request, item.stem)
        if known is not None and known.usable:
            self.counts.remembered += 1
            return ""
        reply = Reply.of(known.reply) if known else await self._asked(request, item, item.stem)
        problem = self._why(reply, item)
        if problem and reply.stop == "end" and (mended := await self._mended(request, reply, item)):
            # Its place is that of the answer it stands for; what both cost is written down already.
            await self._write(request, item, item.stem, mended, usable=True, spent=None)
            problem = ""
        self.counts.new += not problem
        return problem

    async def _mended(self, request: Request, reply: Reply, item: Open) -> Reply | None:
        again = correction.request(request, reply.text, self._why(reply, item))
        stem = again.stem
        known = self._known(again, stem)
        second = Reply.of(known.reply) if known else await self._asked(again, item, stem)
        if not self._why(second, item):
            return second._replace(request=request.digest, mended="corrected")
        for one in (second, reply):
            if one.stop == "end" and (text := correction.mended(one.text)):
                repaired = one._replace(text=text, request=request.digest, mended="repaired")
                if not self._why(repaired, item):
                    return repaired
        return None

    def _known(self, request: Request, stem: str) -> Answer | None:
        return answered.known(self.job.answers, request, stem)

    def _why(self, reply: Reply, item: Open) -> str:
        shape = self.asking.questions.shape(item.cell, item.ordinal)
        return why_unusable(reply, shape, self.asking.read)

    async def _asked(self, request: Request, item: Open, stem: str) -> Reply:
        async with self.sending.answered(request) as reply:
            self._count(await self._keep(request, reply, item, stem))
        return reply

    def _count(self, problem: str) -> None:
        self.counts.asked += 1
        self.counts.malformed += bool(problem)

    async def _keep(self, request: Request, reply: Reply, item: Open, stem: str) -> str:
        problem = self._why(reply, item)
        if reply.stop == "length":
            # One of a batch was perhaps sent with another limit: it ends where that was reached.
            limit = reply.usage.output_tokens if reply.usage.batched else request.max_tokens
            reply = reply._replace(limit=limit)
        if request.shown:
            reply = reply._replace(shown=request.shown)
        spent = self._spent(reply)
        await self._write(request, item, stem, reply, usable=not problem, spent=spent)
        return problem

    async def _write(
        self,
        request: Request,
        item: Open,
        stem: str,
        reply: Reply,
        *,
        usable: bool,
        spent: Spent | None,
    ) -> None:
        answer = Answer(stem, request.sample, request.attempt, usable, reply.plain)
        if request.plain_stem:
            # What stands for the stem is the question with nothing shown.
            request = self.asking.questions.request(item.cell, item.ordinal)
        await self.journal.add(answer, request.question, spent)

    def _go_on(self) -> None:
        if self.failures:
            raise self.failures[0]

    def _spent(self, reply: Reply) -> Spent:
        requests = f"{BATCH}requests" if reply.usage.batched else "requests"
        measures = {requests: 1, "seconds": reply.seconds, **reply.usage.measures}
        return Spent(self.job.build, self.job.step.name, self.asking.teacher, reply.model, measures)

    def _tell(self) -> None:
        now = time.monotonic()
        counts = self.counts
        if now - self.told >= TOLD_EVERY or counts.filled == counts.total:
            self.told = now
            self.job.progress(counts.filled, counts.total, "items", f"{counts.asked} asked")


def why_unusable(
    reply: Reply, shape: Shape, read: Callable[[str, Shape], Any] = teachers.parse
) -> str:
    """Why this answer cannot become what was asked for; empty when it can."""
    if reply.stop != "end":
        return {"length": "cut off", "refusal": "refused"}[reply.stop]
    try:
        read(reply.text, shape)
    except teachers.Malformed as malformed:
        return str(malformed)
    return ""

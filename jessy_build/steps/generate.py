"""generate:<category>: fill the category's items from its teacher, each answer paid for once."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jessy_build import teachers
from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answer, Spent
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.engine.ledger import Ledger
from jessy_build.example import (
    BATCH,
    Example,
    Message,
    Origin,
    Reply,
    Request,
    example_id,
    write_jsonl,
)
from jessy_build.plan.step import Step
from jessy_build.steps import items
from jessy_build.steps.items import Cell, Picked, Questions
from jessy_build.steps.sending import LOOKED_EVERY, Sending

if TYPE_CHECKING:
    from jessy_build.engine.journal import Journal
    from jessy_build.plan.slots import Slot
    from jessy_build.recipe.load import LoadedRecipe

name = "generate"
version = 2
holds = always

TRIES = 3
"""Fresh answers asked for one item before its shortfall is reported."""
TOLD_EVERY = 0.1
"""Seconds between two reports of progress, so that a fast teacher is not slowed by them."""
SHORTFALLS_SHOWN = 10


@dataclass(frozen=True)
class Asking:
    """What a step that asks works on."""

    config: Any
    teacher: str
    questions: Questions

    @property
    def rows(self) -> int:
        return self.questions.rows


def expand(loaded: "LoadedRecipe", ledger: Ledger) -> list[Step]:
    return [_step(loaded, category, ledger) for category in loaded.recipe.categories]


def _step(loaded: "LoadedRecipe", category: str, ledger: Ledger) -> Step:
    wanted = loaded.recipe.categories[category]
    config = loaded.recipe.teachers[wanted.teacher]
    step = Step(
        f"{name}:{category}",
        name,
        version,
        # Each row names its teacher as the recipe does.
        {"category": category, "teacher": wanted.teacher},
        span=loaded.span_of(("categories", category)),
        about=items.about(loaded, category),
    )
    if config.kind == "curated":
        picked = items.picked(loaded, category)
        return replace(step, params={**step.params, "rows": picked.digest}, payload=picked)
    asked = items.questions(loaded, category, ledger)
    return replace(
        step,
        params={**step.params, "items": asked.digest},
        pool="network",
        payload=Asking(config, wanted.teacher, asked),
    )


def run(job: Job) -> Facts:
    if isinstance(job.step.payload, Picked):
        picked = job.step.payload
        count = write_jsonl(job.out / "examples.jsonl", picked.examples())
        return {"rows": count, "asked": 0, "teacher": picked.teacher}
    import asyncio

    asking = job.step.payload
    counts = asyncio.run(ask_all(job, asking))
    if counts.short:
        raise _shortfall(asking, counts)
    measured: Counter[str] = Counter()
    count = write_jsonl(job.out / "examples.jsonl", _examples(job, asking, measured))
    return {
        "rows": count,
        "teacher": asking.teacher,
        "asked": counts.asked,
        "remembered": counts.remembered,
        "malformed": counts.malformed,
        **measured,
    }


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


async def ask_all(job: Job, asking: Asking) -> Counts:
    """After a failure nothing new is asked, and what is under way is waited for: it is being paid
    for, so it is kept."""
    import asyncio

    counts = Counts(total=asking.questions.rows)
    missing = list(_missing(job, asking.questions))
    counts.remembered = counts.total - len(missing)
    if not missing:
        return counts
    from jessy_build.engine.journal import Journal

    teacher = teachers.ASKING[asking.config.kind].open(asking.config, job.settings)
    with Journal(job.answers) as journal:
        desk = _Desk(job, asking, teacher, journal, counts)

        async def work(queue: Iterator[Open]) -> None:
            for cell, ordinal, attempt in queue:
                if desk.failures:
                    return
                try:
                    await desk.fill(cell, ordinal, attempt)
                except Exception as error:
                    desk.failures.append(error)

        async def all_of_it() -> None:
            left = await desk.batched(missing)
            queue = iter(left)
            workers = [work(queue) for _ in range(min(teacher.concurrency, len(left)))]
            await asyncio.gather(*workers)

        everything = asyncio.ensure_future(all_of_it())
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
    return counts


Open = tuple[Cell, int, int]
"""An item that is not filled: its cell, its ordinal there, and the attempt it is at."""


def _missing(job: Job, questions: Questions) -> Iterator[Open]:
    for cell in questions.cells:
        failed = job.answers.failed(cell.stems)
        for ordinal in items.open_items(cell, job.answers):
            yield cell, ordinal, failed.get((cell.stem(ordinal), cell.sample(ordinal)), 0)


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
        self.sending = Sending(
            self.job, self.asking.config, self.asking.teacher, self.teacher, self._go_on
        )

    async def batched(self, missing: Sequence[Open]) -> Sequence[Open]:
        """Collects what was sent as a batch before, sends one where the recipe says so, and
        returns what is still open."""
        if (server := teachers.in_batches(self.teacher)) is None:
            return missing
        from jessy_build.steps.batching import Batching

        wanted: dict[str, Request] = {}
        of: dict[str, tuple[Cell, int]] = {}
        for cell, ordinal, attempt in missing:
            if attempt >= TRIES:
                continue
            request = self.asking.questions.request(cell, ordinal)._replace(attempt=attempt)
            wanted[request.digest], of[request.digest] = request, (cell, ordinal)

        async def keep(request: Request, reply: Reply) -> None:
            problem = await self._keep(request, reply, *of[request.digest])
            self._count(problem)
            self._tell()

        batching = Batching(self.sending, server, keep)
        await batching.collect(wanted)
        if self.asking.config.batch:
            unknown = self.job.answers.one
            await batching.send(
                {d: r for d, r in wanted.items() if not unknown(r.stem, r.sample, r.attempt)}
            )
        return list(_missing(self.job, self.asking.questions))

    async def fill(self, cell: Cell, ordinal: int, attempt: int) -> None:
        first = self.asking.questions.request(cell, ordinal)
        problem = "every try so far was unusable"
        for number in range(attempt, TRIES):
            request = first._replace(attempt=number)
            async with self._alone(request):
                problem = await self._answered(request, cell, ordinal)
            if not problem:
                self._tell()
                return
        self.counts.short[self.asking.questions.slot(cell, ordinal)] = problem

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

    async def _answered(self, request: Request, cell: Cell, ordinal: int) -> str:
        """As `_ask`, but for what was answered since this step looked."""
        known = self.job.answers.one(cell.stem(ordinal), request.sample, request.attempt)
        if known is not None:
            self.counts.remembered += known.usable
            return "" if known.usable else "unusable when another build asked"
        problem = await self._ask(request, cell, ordinal)
        self._count(problem)
        return problem

    def _count(self, problem: str) -> None:
        self.counts.asked += 1
        self.counts.new += not problem
        self.counts.malformed += bool(problem)

    async def _ask(self, request: Request, cell: Cell, ordinal: int) -> str:
        """Returns why the answer cannot become an example; empty when it can."""
        async with self.sending.answered(request) as reply:
            return await self._keep(request, reply, cell, ordinal)

    async def _keep(self, request: Request, reply: Reply, cell: Cell, ordinal: int) -> str:
        problem = why_unusable(reply, self.asking.questions.turns(cell, ordinal))
        stem = cell.stem(ordinal)
        await self.journal.add(
            Answer(stem, request.sample, request.attempt, not problem, reply.plain),
            request.question,
            self._spent(reply),
        )
        return problem

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


def why_unusable(reply: Reply, turns: int) -> str:
    """Why this answer cannot become an example; empty when it can."""
    if reply.stop != "end":
        return {"length": "cut off", "refusal": "refused"}[reply.stop]
    try:
        teachers.parse(reply.text, turns)
    except teachers.Malformed as malformed:
        return str(malformed)
    return ""


def _shortfall(asking: Asking, counts: Counts) -> StepError:
    """A table by cell: what was wanted, what is there, and why the rest is not."""
    by_cell: dict[tuple[str, str, str], list[str]] = {}
    for slot, problem in counts.short.items():
        by_cell.setdefault((slot.topic, slot.language, slot.complexity), []).append(problem)
    lines = []
    for cell in asking.questions.cells:
        problems = by_cell.get((cell.topic, cell.language, cell.level))
        if problems:
            there = cell.rows - len(problems)
            lines.append(
                f"{cell.topic} · {cell.language} · {cell.level}: {there} of {cell.rows} rows"
                f" ({problems[0]})"
            )
    more = len(lines) - SHORTFALLS_SHOWN
    rest = [f"and {more} more cells"] if more > 0 else []
    return StepError(
        f"{len(counts.short)} of {counts.total} items have no usable answer in {TRIES} tries:\n  "
        + "\n  ".join([*lines[:SHORTFALLS_SHOWN], *rest]),
        hint="the answers are kept; raise max_tokens, change the prompt, or take another teacher",
    )


def _examples(job: Job, asking: Asking, measured: Counter[str]) -> Iterator[Example]:
    """The rows in the order of their slots, a cell at a time; sums up what they once cost."""
    for cell in asking.questions.cells:
        replies: dict[tuple[str, int], Reply] = {}
        for answer in job.answers.of(cell.stems):
            if answer.usable:
                replies.setdefault((answer.stem, answer.sample), Reply.of(answer.reply))
        for ordinal in range(cell.rows):
            reply = replies[cell.stem(ordinal), cell.sample(ordinal)]
            measured.update(reply.usage.measures)
            origin = Origin(asking.teacher, reply.request)
            slot = asking.questions.slot(cell, ordinal)
            turns = asking.questions.turns(cell, ordinal)
            yield _example(slot, teachers.parse(reply.text, turns), origin)


def _example(slot: "Slot", messages: Sequence[Message], origin: Origin) -> Example:
    return Example(
        id=example_id(slot.category, messages),
        category=slot.category,
        topic=slot.topic,
        language=slot.language,
        complexity=slot.complexity,
        messages=tuple(messages),
        origin=origin,
    )


def summary(facts: Mapping[str, Any]) -> str:
    if facts["asked"] or facts.get("remembered"):
        return f"{facts['rows']} rows, {facts['asked']} asked, {facts['remembered']} remembered"
    return f"{facts['rows']} rows"

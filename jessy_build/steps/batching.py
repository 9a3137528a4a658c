"""Questions that go to their teacher together: sent once, waited for, and found again after a kill.

A batch is on record before it is sent, and its questions until their answers are kept. So a build
that finds them there, today or next week, waits for that batch instead of asking.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from jessy_build.diagnostics import BudgetReached, StepError
from jessy_build.engine.batches import Batch
from jessy_build.example import Reply, Request
from jessy_build.steps import answered, prices
from jessy_build.steps.sending import LOOKED_EVERY, Sending
from jessy_build.teachers import message_batches as remote
from jessy_build.teachers.retry import Passing, Patience

FIRST_LOOK, LONGEST_LOOK = 1.0, 60.0
"""Seconds between two looks at a batch; each is half as long again as the one before."""
AT_ONCE = 500
"""Answers that are kept in one go, and questions that are claimed in one go."""

Wanted = Mapping[str, Request]
"""Questions by their digest."""
T = TypeVar("T")


@dataclass
class Batching:
    """The batches of one step."""

    sending: Sending
    server: remote.MessageBatches
    keep: Callable[[Request, Reply], Awaitable[None]]
    """Writes an answer down; it is on the disk when this returns."""
    _aside: dict[str, float] = field(default_factory=dict)
    """Of the budget, by question."""

    def __post_init__(self) -> None:
        job = self.sending.job
        self._job, self._answers, self._budget = job, job.answers, job.budget
        self._store = job.answers.batches
        self._prices = prices.of(self.sending.config)

    async def collect(self, wanted: Wanted) -> None:
        """What earlier builds have sent, or others at this moment."""
        while waiting := self._store.waiting(wanted):
            async with self._alone(waiting[0].mark):
                # Whoever had it may have come to its end.
                if batch := self._store.now(waiting[0]):
                    await self._finish(batch, wanted)

    async def send(self, wanted: Wanted) -> None:
        """Each question once. What comes back without an answer is left to the caller."""
        left = list(wanted.values())
        while left:
            sent: list[Request] = []
            while part := self._part(left):
                left = left[len(part) :]
                sent += await self._send(part)
            if left and not sent:
                await self._room_for(left)
            await self.collect({request.digest: request for request in sent})

    async def _room_for(self, left: Sequence[Request]) -> None:
        if self._budget.reached:
            raise BudgetReached(
                f"the budget is reached: ${self._budget.spent:.4f} of ${self._budget.limit:.2f} is"
                f" spent, and {len(left)} questions wait for a batch",
                hint="raise budget.max_usd, or --max-usd: the next build asks for the rest",
            )
        await self.sending.pause(LOOKED_EVERY)

    def _part(self, left: Sequence[Request]) -> list[Request]:
        """As many of them as one batch holds and the budget allows; the most that they can cost is
        set aside."""
        part: list[Request] = []
        size = 0
        for request in left[: remote.MOST_REQUESTS]:
            size += len(json.dumps(request.question).encode())
            most = 0.0
            if self._prices is not None:
                most = prices.HALF * prices.at_most(self._prices, request)
            if size > remote.MOST_BYTES or not self._budget.set_aside(most):
                break
            self._aside[request.digest] = most
            part.append(request)
        return part

    async def _send(self, part: Sequence[Request]) -> list[Request]:
        """Returns those that went: what somebody else asks at this moment does not."""
        # Held from before anybody can read of it, or it would look like one whose sender has died.
        async with self._alone(mark := secrets.token_hex(32)):
            batch, went = self._begun(mark, part)
            for left_out in {r.digest for r in part} - {r.digest for r in went}:
                self._settle(left_out, 0.0)
            if batch is not None:
                self._job.note(
                    f"{len(went)} questions go to '{self.sending.name}' as a batch, to be answered"
                    " within a day; if this build is stopped, the next one finds it again"
                )
                await self._sent(batch, went)
        return went

    def _begun(self, mark: str, part: Sequence[Request]) -> tuple[Batch | None, list[Request]]:
        batch: Batch | None = None
        went: list[Request] = []
        for at in range(0, len(part), AT_ONCE):
            with ExitStack() as claims:
                free = [r for r in part[at : at + AT_ONCE] if self._is_free(r, claims)]
                digests = [request.digest for request in free]
                if batch is not None:
                    batch = self._store.add(batch, digests)
                elif digests:
                    batch = self._store.begin(mark, self.sending.name, digests)
                went += free
        return batch, went

    def _is_free(self, request: Request, claims: ExitStack) -> bool:
        free = claims.enter_context(self._answers.alone(request.digest))
        known = answered.known(self._answers, request, request.stem)
        return free and known is None and not self._store.waiting([request.digest])

    async def _sent(self, batch: Batch, requests: Sequence[Request]) -> None:
        """Never sent twice blindly: after a fault that leaves it open, the server is asked for it
        first."""
        patience, is_open = Patience(), False
        while True:
            id = await self._found(batch) if is_open else None
            try:
                self._store.sent(batch, id or await self.server.send(requests))
                return
            except Passing as passing:
                pause = patience.pause(passing)
                is_open = is_open or passing.fault != "busy"
            except StepError:
                # It says no, so there is none.
                if not is_open:
                    self._store.end(batch)
                raise
            await self.sending.pause(pause)

    async def _found(self, batch: Batch) -> str | None:
        """The server's name for a batch of ours that it may have got: the one of as many questions
        that was made nearest to that time, and that no other record here names."""
        others = self._store.ids()

        async def look() -> list[remote.State]:
            return [s async for s in self.server.since(batch.made_at) if s.size == batch.size]

        made = [s for s in await self._patiently(look) if s.id not in others]
        nearest = min(made, key=lambda s: abs(s.made_at - batch.made_at), default=None)
        return nearest and nearest.id

    async def _finish(self, batch: Batch, wanted: Wanted) -> None:
        id = batch.id or await self._found(batch)
        if id is None or batch.is_gone:
            self._store.end(batch)
            return
        try:
            await self._wait(batch, id)
            await self._fetch(batch, id, wanted)
        except remote.Unknown as unknown:
            if self.sending.config.batch:
                raise
            self._job.note(f"{unknown.problem}: its questions are asked, and paid, once more")
            self._store.end(batch)

    async def _wait(self, batch: Batch, id: str) -> None:
        pause = FIRST_LOOK
        while not (state := await self._patiently(lambda: self.server.state(id))).is_over:
            since = time.strftime("%H:%M", time.localtime(batch.made_at))
            told = f"a batch of {state.size} is under way since {since}, {state.done} are answered"
            self._job.progress(0, None, "", told)
            await self.sending.pause(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)

    async def _fetch(self, batch: Batch, id: str, wanted: Wanted) -> None:
        """Results may be read twice after a fault: what is kept already is passed over."""
        mine = self._store.requests(batch) & wanted.keys()
        await self._patiently(lambda: self._keep_all(id, {d: wanted[d] for d in mine}))
        # Those that the results do not name will have no answer.
        self._store.settled(mine)

    async def _keep_all(self, id: str, wanted: Wanted) -> None:
        some: list[remote.Result] = []
        results = self.server.results(id)
        async with aclosing(results):
            async for result in results:
                if result.request in wanted:
                    some.append(result)
                if len(some) == AT_ONCE:
                    await self._keep(some, wanted)
                    some = []
        await self._keep(some, wanted)

    async def _keep(self, some: Sequence[remote.Result], wanted: Wanted) -> None:
        import asyncio

        new = []
        for result in some:
            request = wanted[result.request]
            if result.reply is None:
                self._settle(result.request, 0.0)
            elif not answered.is_kept(self._answers, request, result.reply):
                new.append((request, result.reply))
        await asyncio.gather(*[self.keep(request, reply) for request, reply in new])
        for request, reply in new:
            cost = 0.0
            if self._prices is not None:
                cost = prices.of_usage(self._prices, reply.usage.measures)
            self._settle(request.digest, cost)

    def _settle(self, request: str, cost: float) -> None:
        most = self._aside.pop(request, None)
        if most is None:
            self._budget.owed(cost)
        else:
            self._budget.settle(most, cost)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        patience = Patience()
        while True:
            self.sending.go_on()
            try:
                return await call()
            except Passing as passing:
                pause = patience.pause(passing)
            await self.sending.pause(pause)

    @asynccontextmanager
    async def _alone(self, mark: str) -> AsyncIterator[None]:
        import asyncio

        while True:
            with self._answers.alone(mark) as free:
                if free:
                    yield
                    return
            self.sending.go_on()
            await asyncio.sleep(LOOKED_EVERY)

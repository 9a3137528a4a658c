"""One request on its way to a teacher: places, its share of the budget, and as many tries as help.

Nobody pays for what cannot be kept, and nothing is sent that could pass the budget's limit.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jessy_build import teachers
from jessy_build.diagnostics import BudgetReached
from jessy_build.engine import disk
from jessy_build.engine.kind import Job
from jessy_build.example import Reply, Request
from jessy_build.steps import prices
from jessy_build.teachers.retry import Passing, Patience

LOOKED_EVERY = 0.05
"""Seconds between two looks at what others have to do first."""


@dataclass
class Sending:
    """Sends the requests of one step; several may be on their way at once."""

    job: Job
    config: Any
    name: str
    """Of the teacher, as the recipe calls it."""
    teacher: teachers.Teacher
    go_on: Callable[[], None]
    """Raises once nothing new shall be sent."""

    @asynccontextmanager
    async def answered(self, request: Request) -> AsyncIterator[Reply]:
        """The place is given back when the block ends, so that a kill loses no more answers than
        there are places: it is left once the answer is on the disk."""
        pools, patience = self.job.pools, Patience()
        pace = pools.pace(self.name, self.teacher.concurrency)
        while True:
            async with pace:
                await self._rest(lambda: pace.left)
                async with pools.gate(request.provider):
                    since = pace.turn
                    try:
                        reply = await self._sent(request)
                    except Passing as passing:
                        pause = patience.pause(passing)
                        if passing.fault == "busy":
                            pace.busy(since, pause)
                    else:
                        pace.fine(since)
                        yield reply
                        return
            # Outside: another may have the place meanwhile.
            await self.pause(pause)

    async def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await self._rest(lambda: end - time.monotonic())

    async def _rest(self, left: Callable[[], float]) -> None:
        import asyncio

        while (seconds := left()) > 0:
            self.go_on()
            await asyncio.sleep(min(seconds, LOOKED_EVERY))

    async def _sent(self, request: Request) -> Reply:
        # Of one that was asked while this one waited for its place.
        self.go_on()
        if disk.is_full(self.job.work):
            raise disk.no_space()
        return await self._paid(request)

    async def _paid(self, request: Request) -> Reply:
        budget = self.job.budget
        if budget.limit is None or self._prices is None:
            return await self.teacher.ask(request)
        most = prices.at_most(self._prices, request)
        await self._set_aside(most)
        # Whatever goes wrong from here on may have been paid for.
        cost = most
        try:
            reply = await self.teacher.ask(request)
            cost = prices.of_usage(self._prices, reply.usage.measures)
        except Passing as passing:
            cost = most if passing.may_be_billed else 0.0
            raise
        finally:
            budget.settle(most, cost)
        return reply

    async def _set_aside(self, most: float) -> None:
        import asyncio

        budget = self.job.budget
        while not budget.set_aside(most):
            if budget.reached:
                raise BudgetReached(
                    f"the budget is reached: ${budget.spent:.4f} of ${budget.limit:.2f} is spent,"
                    f" and one more request can cost ${most:.4f}",
                    hint="raise budget.max_usd, or --max-usd: the next build asks for the rest",
                )
            await asyncio.sleep(LOOKED_EVERY)
            self.go_on()

    @cached_property
    def _prices(self) -> Mapping[str, float] | None:
        return prices.of(self.config)

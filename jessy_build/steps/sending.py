"""One request on its way to a teacher: a place at each gate, and its share of the budget.

Nobody pays for what cannot be kept, and nothing is sent that could pass the budget's limit.
"""

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
        gate = self.job.pools.gate
        places = gate(f"teacher {self.name}", self.teacher.concurrency), gate(request.provider)
        async with places[0], places[1]:
            # Of one that was asked while this one waited for its place.
            self.go_on()
            if disk.is_full(self.job.work):
                raise disk.no_space()
            yield await self._paid(request)

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
            cost = prices.of_usage(self._prices, reply.usage.plain)
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

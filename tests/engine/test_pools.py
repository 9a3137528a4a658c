"""Gates shared by the event loops of several threads: the limit holds, and nobody is forgotten."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jessy_build.engine.pools import Gate, Pools


class Inside:
    """How many are inside a gate, and the most that ever were."""

    def __init__(self) -> None:
        self.now, self.most, self.came = 0, 0, 0
        self.lock = threading.Lock()

    async def stay(self, gate: Gate, seconds: float = 0.002) -> None:
        async with gate:
            with self.lock:
                self.now += 1
                self.came += 1
                self.most = max(self.most, self.now)
            try:
                await asyncio.sleep(seconds)
            finally:
                with self.lock:
                    self.now -= 1


def in_threads(*runs: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(len(runs)) as threads:
        for done in [threads.submit(lambda run=run: asyncio.run(run())) for run in runs]:
            done.result()


def test_the_limit_holds_over_all_threads_and_is_used_up_to_it() -> None:
    gate, inside = Gate(5), Inside()

    async def step() -> None:
        await asyncio.gather(*(inside.stay(gate) for _ in range(40)))

    in_threads(step, step, step)
    assert (inside.came, inside.most, inside.now) == (120, 5, 0)


def test_all_who_name_a_pool_share_its_places() -> None:
    pools, inside = Pools({"anthropic": 3}), Inside()

    async def step() -> None:
        await asyncio.gather(*(inside.stay(pools.gate("anthropic", 50)) for _ in range(20)))

    in_threads(step, step)
    assert inside.most == 3


def test_a_pool_that_nobody_named_has_the_size_that_is_asked_for_or_none() -> None:
    pools, few, many = Pools({}), Inside(), Inside()

    async def step() -> None:
        await asyncio.gather(*(few.stay(pools.gate("few", 2)) for _ in range(10)))
        await asyncio.gather(*(many.stay(pools.gate("many")) for _ in range(10)))

    in_threads(step)
    assert (few.most, many.most) == (2, 10)


def test_first_come_first_served() -> None:
    gate, order = Gate(1), []

    async def one(number: int) -> None:
        async with gate:
            order.append(number)
            await asyncio.sleep(0)

    async def step() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    in_threads(step)
    assert order == list(range(20))


def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    gate, inside = Gate(1), Inside()

    async def step() -> None:
        async with gate:
            waiting = [asyncio.create_task(inside.stay(gate)) for _ in range(5)]
            await asyncio.sleep(0)
            for task in waiting[:4]:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(waiting[4], 5)
        await asyncio.wait_for(inside.stay(gate), 5)

    in_threads(step)
    assert inside.came == 2


def test_who_is_cancelled_in_the_moment_of_its_turn_hands_it_on() -> None:
    gate, inside = Gate(1), Inside()

    async def step() -> None:
        async with gate:
            first, second = (asyncio.create_task(inside.stay(gate)) for _ in range(2))
            await asyncio.sleep(0)
        # The place was given to the first just now; it has not run since.
        first.cancel()
        await asyncio.wait_for(second, 5)
        assert first.cancelled()

    in_threads(step)
    assert inside.came == 1


@pytest.mark.parametrize("seed", range(5))
def test_whoever_is_cancelled_whenever_all_places_come_back(seed: int) -> None:
    gate, inside, drawn = Gate(3), Inside(), random.Random(seed)
    moments = [[drawn.uniform(0, 0.03) for _ in range(30)] for _ in range(3)]

    async def cancelled_after(seconds: float) -> None:
        task = asyncio.create_task(inside.stay(gate))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def step(seconds: list[float]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            await asyncio.gather(*map(cancelled_after, seconds))

        return run

    async def all_places_at_once() -> None:
        later = Inside()
        await asyncio.gather(*(later.stay(gate, 0.01) for _ in range(6)))
        assert later.most == 3

    in_threads(*map(step, moments))
    in_threads(all_places_at_once)
    assert inside.most == 3


def test_a_failure_inside_gives_the_place_back() -> None:
    gate, inside = Gate(1), Inside()

    async def step() -> None:
        with pytest.raises(ZeroDivisionError):
            async with gate:
                raise ZeroDivisionError
        await asyncio.wait_for(inside.stay(gate), 5)

    in_threads(step)
    assert inside.came == 1


def test_a_step_that_died_while_waiting_does_not_keep_its_place_in_the_queue() -> None:
    gate, inside = Gate(1), Inside()
    held, leave = threading.Event(), threading.Event()

    async def holds() -> None:
        async with gate:
            held.set()
            await asyncio.to_thread(leave.wait)
        await asyncio.wait_for(inside.stay(gate), 5)

    def dies() -> None:
        """Its loop is closed with a task still waiting: nobody will ever wake it."""
        loop = asyncio.new_event_loop()
        held.wait()
        loop.create_task(inside.stay(gate))  # noqa: RUF006
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        leave.set()

    async def second() -> None:
        await asyncio.to_thread(dies)

    in_threads(holds, second)
    assert inside.came == 1

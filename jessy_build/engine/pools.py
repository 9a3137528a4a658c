"""Named pools: how much of one thing a build uses at once, whichever of its steps use it.

A step takes a place in its own pool while it runs. A request takes one at a gate, and all gates of
one name share their places: ten steps that ask one kind of teacher stay within one limit.
"""

import threading
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from jessy_build.engine.pace import Pace


class _Place:
    """One who waits at a gate: woken in its own loop, wherever the one before it leaves."""

    def __init__(self) -> None:
        import asyncio

        self.loop = asyncio.get_running_loop()
        self.woken = self.loop.create_future()
        self.given = False

    def wake(self) -> bool:
        """False when its loop is gone: nobody is left to take the place."""
        try:
            self.loop.call_soon_threadsafe(_wake, self.woken)
        except RuntimeError:
            return False
        self.given = True
        return True


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Gate:
    """`async with gate:` holds one of its places. First come, first served, across threads.

    An asyncio.Semaphore belongs to one event loop; this one is shared by the loops of all steps.
    """

    def __init__(self, places: int | None) -> None:
        """Without a number it stands open."""
        self.places = places
        self._size = places or 0
        self._taken = 0
        self._waiting: deque[_Place] = deque()
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        if self.places is None:
            return
        with self._lock:
            if self._taken < self._size:
                self._taken += 1
                return
            place = _Place()
            self._waiting.append(place)
        import asyncio

        try:
            await place.woken
        except asyncio.CancelledError:
            self._give_up(place)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.places is not None:
            with self._lock:
                self._hand_on()

    def _give_up(self, place: _Place) -> None:
        with self._lock:
            if place.given:
                # It was its turn in the very moment in which it was cancelled.
                self._hand_on()
            else:
                self._waiting.remove(place)

    def _hand_on(self) -> None:
        self._taken -= 1
        self._resize(self._size)

    def _resize(self, size: int) -> None:
        """Who is inside stays; who waits comes in as far as there is room."""
        self._size = size
        while self._waiting and self._taken < size:
            self._taken += self._waiting.popleft().wake()


class Pools:
    """The sizes of a build's pools, and the gates of those that are asked for."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._gates: dict[str, Gate] = {}
        self._paces: dict[str, Pace] = {}
        self._lock = threading.Lock()

    def gate(self, name: str, otherwise: int | None = None) -> Gate:
        """The same gate for all who name it. `otherwise` is its size where no pool is named so;
        without one it stands open."""
        with self._lock:
            if name not in self._gates:
                self._gates[name] = Gate(self.sizes.get(name, otherwise))
            return self._gates[name]

    def pace(self, name: str, places: int) -> "Pace":
        """The same for all who ask the server that `name` stands for."""
        if (known := self._paces.get(name)) is not None:
            return known
        from jessy_build.engine.pace import Pace

        with self._lock:
            return self._paces.setdefault(name, Pace(places))

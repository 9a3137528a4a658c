"""How many requests one server takes at once: learnt from what it says, within a number of places.

Halved when the server is busy, one more after as many answers as there are places now. All who ask
it share this, and none is sent before the moment that it asks them to wait for.
"""

import time

from jessy_build.engine.pools import Gate


class Pace(Gate):
    """Safe for threads. `since` is the `turn` at which a request was sent: of many that were sent
    together and turned away together, one halves the places."""

    def __init__(self, places: int) -> None:
        super().__init__(places)
        self.turn = 0
        self._most = places
        self._answered = 0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds before anything may be sent; zero or less when it may."""
        return self._until - time.monotonic()

    def busy(self, since: int, wait: float) -> None:
        with self._lock:
            self._until = max(self._until, time.monotonic() + wait)
            if since == self.turn:
                self._resize(max(1, self._size // 2))
                self.turn += 1
                self._answered = 0

    def fine(self, since: int) -> None:
        if self._size == self._most or since != self.turn:
            return
        with self._lock:
            self._answered += 1
            if self._answered >= self._size < self._most:
                self._answered = 0
                self._resize(self._size + 1)

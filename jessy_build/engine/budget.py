"""What one build may spend: a ledger that all its steps and threads share.

The most that something can cost is set aside before it is begun, so the limit holds whatever it
costs in the end. Counted in whole billionths, since sums of fractions never come back to zero.
"""

import math
import threading

PARTS = 1_000_000_000


class Budget:
    """Safe for threads. Without a limit nothing is counted."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.reached = False
        """From then on nothing that costs is begun, however little it costs."""
        self._spent = 0
        self._aside = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        return self._spent / PARTS

    def set_aside(self, most: float) -> bool:
        """False when it would not fit now. Unless the limit is `reached`, it may fit once what is
        under way has turned out cheaper than it could have been."""
        if self.limit is None or not most:
            return True
        with self._lock:
            room = _parts(self.limit) - self._spent - _parts(most)
            self.reached = self.reached or room < 0
            if self.reached or room < self._aside:
                return False
            self._aside += _parts(most)
            return True

    def settle(self, most: float, cost: float) -> None:
        """What was set aside has cost so much."""
        if self.limit is None or not most:
            return
        with self._lock:
            self._aside -= _parts(most)
            self._spent += _parts(cost)

    def owed(self, cost: float) -> None:
        """What was committed to before this build, and is paid in it."""
        if self.limit is not None:
            with self._lock:
                self._spent += _parts(cost)


def _parts(dollars: float) -> int:
    return math.ceil(dollars * PARTS)

"""Carries finished artifacts to a shared store while the build goes on."""

import threading
from collections.abc import Callable
from typing import Any, Protocol

from jessy_build.engine.ledger import Artifact

NAME = "shared store"
"""What is told of it stands under this, where a step's name would."""


class Receiver(Protocol):
    # Neither raises for what the shared store refuses.
    def push(self, artifact: Artifact, told: Callable[[int], None]) -> None: ...
    def push_answers(self) -> None: ...

    # A fault of ours on the way there is no reason for a build to fail.
    def gave_up(self, error: Exception) -> None: ...
    def progress(self, step: str, done: int, total: int, text: str) -> None: ...


class Courier:
    """One artifact after the other, by a thread of its own.

    A daemon: an interrupted build does not wait for it, and the next one brings what is missing.
    """

    LOOK_SECONDS = 0.2

    def __init__(self, shared: Receiver) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._waiting: list[Artifact] = []
        self._thread: threading.Thread | None = None
        self._handed: list[Artifact] = []
        self._done = self._now = self._total = 0

    def hand(self, artifact: Artifact) -> None:
        with self._lock:
            if artifact in self._handed:
                return
            self._handed.append(artifact)
            self._waiting.append(artifact)
            self._total += _bytes(artifact)
            if self._thread is None:
                self._thread = threading.Thread(target=self._carry, name=NAME, daemon=True)
                self._thread.start()

    def settle(self) -> None:
        while (thread := self._thread) is not None:
            thread.join(self.LOOK_SECONDS)
            if thread.is_alive():
                self._shared.progress(NAME, self._done + self._now, self._total, "sharing")
        # Answers of a step that failed belong to no artifact, and were paid for all the same.
        self._guarded(self._shared.push_answers)

    def _carry(self) -> None:
        while (artifact := self._next()) is not None:
            self._guarded(self._shared.push_answers)
            self._guarded(self._shared.push, artifact, self._told)
            self._done, self._now = self._done + _bytes(artifact), 0

    def _next(self) -> Artifact | None:
        with self._lock:
            if self._waiting:
                return self._waiting.pop(0)
            self._thread = None
            return None

    def _told(self, done: int) -> None:
        self._now = done

    def _guarded(self, action: Callable[..., None], *args: Any) -> None:
        try:
            action(*args)
        except Exception as error:
            self._shared.gave_up(error)


def _bytes(artifact: Artifact) -> int:
    return sum(size for _, size in artifact.tree.values())

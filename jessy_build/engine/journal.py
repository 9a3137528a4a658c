"""Group commit: answers that arrive while the disk is busy share the next sync.

`add` returns once its answer is on the disk, so at most the requests in flight can be lost; and
since many wait for the same sync, its milliseconds are shared by all of them.
"""

import queue
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from jessy_build.engine.answers import Answer, Answers, Spent

if TYPE_CHECKING:
    import asyncio

TURN = 0.0002
"""Seconds that a busy loop keeps the interpreter while the writer wants it. The writer asks for it
after each statement; with Python's own 5 ms, an answer's place would stand empty for 20 ms."""


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    question: Mapping[str, Any]
    spent: Spent | None
    done: "asyncio.Future[None]"


class Journal:
    """One writer thread for one event loop. Used as a context: leaving it writes what waits."""

    def __init__(self, answers: Answers) -> None:
        import asyncio

        self._answers = answers
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._write_all, name="answers", daemon=True)

    async def add(self, answer: Answer, question: Mapping[str, Any], spent: Spent | None) -> None:
        """OSError when the disk refuses; nothing of the group is then recorded."""
        import asyncio

        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put(_Entry(answer, question, spent, done))
        # Once it is on its way it is paid for: a cancel may not stop it half-way.
        await asyncio.shield(done)

    def __enter__(self) -> Self:
        sys.setswitchinterval(TURN)
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._writer.join()

    def _write_all(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, last = [first], False
            while not self._waiting.empty():
                entry = self._waiting.get()
                if entry is None:
                    last = True
                    break
                group.append(entry)
            self._write(group)
            if last:
                return

    def _write(self, group: list[_Entry]) -> None:
        error: BaseException | None = None
        try:
            self._answers.add(
                [entry.answer for entry in group],
                {entry.answer.stem: entry.question for entry in group},
                [entry.spent for entry in group if entry.spent is not None],
            )
        except Exception as raised:
            error = raised
        self._loop.call_soon_threadsafe(_settle, group, error)


def _settle(group: list[_Entry], error: BaseException | None) -> None:
    for entry in group:
        if entry.done.done():
            continue
        if error is None:
            entry.done.set_result(None)
        else:
            entry.done.set_exception(error)

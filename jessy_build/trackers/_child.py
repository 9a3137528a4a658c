"""The program that tells one service of one training. It reads the metrics as they grow.

In: the order, a line once the metrics are there, the word for how it ended. Out: where the run is
to be seen, or what went wrong, as one line of JSON each. Without its parent it tells what there is
left to tell, and ends.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from jessy_build.trackers import INSTALL, TRACKERS, Run
from jessy_build.trackers.order import Line, Memory, Order, State

LOOK_SECONDS = 0.5
PAUSE_SECONDS = 5
"""Before a service is told again what it did not take."""
AT_ONCE = 100
"""Lines that are told together, where a service is behind."""


class Parent:
    """What it said, as far as that was read."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.begun = threading.Event()
        self.over = threading.Event()
        self.state: State = "stopped"

    def listen(self) -> None:
        for line in sys.stdin:
            word = line.strip()
            if word in get_args(State):
                self.state = word  # type: ignore[assignment]
            self.begun.set()
        # By the system, whatever the package is busy with.
        signal.setitimer(signal.ITIMER_REAL, self.patience)
        self.over.set()
        self.begun.set()


def main() -> None:
    mouth = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What packages print goes to the log.
    os.dup2(2, 1)
    os.nice(5)
    order = Order(**json.loads(sys.stdin.readline()))
    parent = Parent(order.patience)
    threading.Thread(target=parent.listen, daemon=True).start()

    def say(**fields: Any) -> None:
        # A build that is gone hears nothing; what it had trained is told all the same.
        with suppress(BrokenPipeError):
            mouth.write(json.dumps(fields) + "\n")
            mouth.flush()

    try:
        _follow(order, parent, say)
    except ModuleNotFoundError as problem:
        say(problem=f"the package '{problem.name}' is not installed here", hint=INSTALL)
    except Exception as problem:
        traceback.print_exc()
        say(problem=f"{type(problem).__name__}: {problem}", hint=TRACKERS[order.kind].HINT)


def _follow(order: Order, parent: Parent, say: Callable[..., None]) -> None:
    with order.memory.with_suffix(".lock").open("w") as lock:
        # The tracker of a killed build may still be telling what that one had trained.
        fcntl.flock(lock, fcntl.LOCK_EX)
        memory = Memory.of(order.memory)
        run = TRACKERS[order.kind].open(order, memory)
        say(where=run.where)
        parent.begun.wait()
        for lines in _batches(Path(order.metrics), memory.told, parent.over):
            _tell(run, lines, parent.over)
            memory.told += len(lines)
            memory.save()
        run.end(parent.state)
        say(done=True)


def _tell(run: Run, lines: Sequence[Line], over: threading.Event) -> None:
    """A server that is away may come back: the lines wait in their file, and the training for
    nobody."""
    while True:
        last = over.is_set()
        try:
            return run.tell(lines)
        except Exception:
            if last:
                raise
            over.wait(PAUSE_SECONDS)


def _batches(file: Path, told: int, over: threading.Event) -> Iterator[list[Line]]:
    grown = Grown(file)
    while True:
        # Asked before it is read: what was written until then is read below.
        last = over.is_set()
        before, lines = grown.read()
        fresh = lines[max(told - before, 0) :]
        told += len(fresh)
        for begin in range(0, len(fresh), AT_ONCE):
            yield [_figures(line) for line in fresh[begin : begin + AT_ONCE]]
        if last:
            return
        over.wait(LOOK_SECONDS)


class Grown:
    """A file of lines that grows, and is replaced by one that begins with the same lines when a
    training goes on after its memory ran out."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.inode = self.offset = self.lines = 0

    def read(self) -> tuple[int, list[str]]:
        """How many lines were read before, and the whole ones behind them."""
        if not self.file.exists():
            return 0, []
        with self.file.open("rb") as file:
            if (inode := os.fstat(file.fileno()).st_ino) != self.inode:
                self.inode, self.offset, self.lines = inode, 0, 0
            file.seek(self.offset)
            whole, end, _ = file.read().rpartition(b"\n")
        before, found = self.lines, whole.decode().split("\n") if end else []
        self.offset += len(whole + end)
        self.lines += len(found)
        return before, found


def _figures(line: str) -> Line:
    return {name: value for name, value in json.loads(line).items() if value is not None}


if __name__ == "__main__":
    main()

"""The training process as its parent sees it: start, listen, stop, and say why it died."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _death
from jessy_build.trainers._death import Before

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.2
STOP_SECONDS = 15.0
"""For writing the checkpoint. Normally it takes less than two."""
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Child:
    process: "subprocess.Popen[str]"
    log: Path
    lines: "queue.Queue[str | None]"
    before: Before

    def listen(self, cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """What the child says, until it has ended. A child that failed raises StepError."""
        while True:
            if cancelled():
                raise KeyboardInterrupt
            try:
                line = self.lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                break
            said = json.loads(line)
            if said["event"] == "failed":
                raise StepError(said["problem"], hint=said["hint"], log=self.log)
            yield said
        if code := self.process.wait():
            raise _death.cause(code, self.log, self.before)

    def stop(self) -> None:
        """Ask for a checkpoint and the end, by closing the child's input."""
        if self.process.poll() is None and self.process.stdin:
            self.process.stdin.close()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def start(order: dict[str, Any], work: Path) -> Iterator[Child]:
    """The child keeps an eye on its input: when it ends, its parent is gone, however it died."""
    work.mkdir(parents=True, exist_ok=True)
    log = work / "train.log"
    before = _death.before(log)
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jessy_build.trainers._child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=_environment(),
            # Ctrl-C in the terminal is the parent's to hear; it then asks the child to stop.
            start_new_session=True,
        )
    child = Child(process, log, queue.Queue(), before)
    assert process.stdin and process.stdout
    reader = threading.Thread(target=_read, args=(process.stdout, child.lines), daemon=True)
    reader.start()
    try:
        _tell(process.stdin, order)
        yield child
    finally:
        try:
            child.stop()
        finally:
            # A second Ctrl-C does not wait for the checkpoint.
            child.kill()
            reader.join(1)
            process.stdout.close()


def _tell(stdin: IO[str], order: dict[str, Any]) -> None:
    try:
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
    except BrokenPipeError:
        pass  # It died at once; its exit code says why.


def _read(stdout: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stdout:
        lines.put(line)
    lines.put(None)


def _environment() -> dict[str, str]:
    known = os.environ.get("PYTHONPATH")
    return {
        # One thread for each product: the cores are shared out by rows, see `_team`.
        **dict.fromkeys(BLAS_THREADS, "1"),
        **os.environ,
        # So the child finds this very package from any folder, installed or not.
        "PYTHONPATH": os.pathsep.join([str(PACKAGE_FOLDER), *([known] if known else [])]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }

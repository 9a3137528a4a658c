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
from jessy_build.trainers import _shortage

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.2
STOP_SECONDS = 15.0
"""For writing the checkpoint. Normally it takes less than two."""
OUT_OF_MEMORY = ("memoryerror", "bad_alloc", "insufficient memory", "out of memory", "[malloc")
LAST_LINES = 20
"""Of a log: after the words that tell why, an abort may still print where it was."""
LESS_MEMORY = "lower train.batch_tokens or train.batch_size, or close other programs; "
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
RESUMES = "the next build goes on from the last checkpoint"


class OutOfMemory(StepError):
    """The training process has died for want of memory; `said` are its last words about it."""

    def __init__(self, said: str, log: Path) -> None:
        super().__init__(f"training ran out of memory: {said}", hint=LESS_MEMORY + RESUMES, log=log)
        self.said = said


@dataclass(frozen=True, slots=True)
class Child:
    process: "subprocess.Popen[str]"
    log: Path
    lines: "queue.Queue[str | None]"
    begin: int
    """Bytes of the log that earlier attempts have written."""
    kills: int | None
    """Processes that the kernel had killed for want of memory before this one began."""

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
            raise self._died(code)

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

    def _died(self, code: int) -> StepError:
        lines = self._last_lines()
        if said := self._short_of_memory(code, lines):
            return OutOfMemory(said, self.log)
        if code == -signal.SIGKILL:
            return StepError(
                "the training process was killed from outside; mostly that is the system, short of "
                "memory",
                hint=LESS_MEMORY + RESUMES,
                log=self.log,
            )
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return StepError(
            f"the training process ended {how}{': ' + lines[-1] if lines else ''}",
            hint=f"its log has the rest; {RESUMES}",
            log=self.log,
        )

    def _short_of_memory(self, code: int, lines: list[str]) -> str:
        """What says so; empty where nothing does."""
        if code == -signal.SIGKILL:
            # A person sends it as well, and wants no other try.
            killed = self.kills is not None and (_shortage.kills() or 0) > self.kills
            return "the system killed it" if killed else ""
        if code == -signal.SIGSEGV and _shortage.is_refused():
            return "it ended by SIGSEGV, and memory is limited here (ulimit -v, ulimit -d)"
        told = [line for line in lines if any(word in line.lower() for word in OUT_OF_MEMORY)]
        return told[-1] if told else ""

    def _last_lines(self) -> list[str]:
        with self.log.open("rb") as log:
            log.seek(self.begin)
            text = log.read().decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()][-LAST_LINES:]


@contextmanager
def start(order: dict[str, Any], work: Path) -> Iterator[Child]:
    """The child keeps an eye on its input: when it ends, its parent is gone, however it died."""
    work.mkdir(parents=True, exist_ok=True)
    log = work / "train.log"
    kills = _shortage.kills()
    with log.open("ab") as errors:
        begin = errors.tell()
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
    child = Child(process, log, queue.Queue(), begin, kills)
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

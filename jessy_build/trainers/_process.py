"""The training process as its parent sees it: start, listen, stop, and say why it died."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jessy_build.diagnostics import StepError
from jessy_build.hosts import HERE
from jessy_build.trainers import _death, _launch, _ranks
from jessy_build.trainers._death import Before

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.2
STOP_SECONDS = 15.0
"""For writing the checkpoint. Normally it takes less than two."""
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
OURS = (*BLAS_THREADS, "PYTHONPATH", "HF_HUB_OFFLINE", "TRANSFORMERS_VERBOSITY")


@dataclass(frozen=True, slots=True)
class Child:
    process: "subprocess.Popen[str]"
    log: Path
    lines: "queue.Queue[str | None]"
    before: Before
    hosts: Sequence[str] = ()
    leash: IO[str] | None = None
    """The order of several; alone, a child has it from its input."""

    def listen(self, cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """What the child says, until it has ended. A child that failed raises StepError."""
        here: set[int] = set()
        while True:
            if cancelled():
                raise KeyboardInterrupt
            try:
                line = self.lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                break
            said = _event(line)
            if said is None:
                # What another machine's process writes comes all by one way.
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(line)
                continue
            if said["event"] == "failed":
                raise StepError(said["problem"], hint=said["hint"], log=self.log)
            if said["event"] == "here":
                here.add(said["rank"])
                if len(here) == len(self.hosts):
                    self._hush()
                continue
            yield said
        code, who = self.process.wait(), "the training process"
        if ended := self._first_to_end():
            rank, code = ended
            who = _ranks.named(rank, self.hosts)
            if code == _launch.NO_LOGIN and rank not in here and self.hosts[rank] != HERE:
                raise _launch.no_login(self.hosts[rank], self.log)
        if code:
            raise _death.cause(code, self.log, self.before, who)

    def _first_to_end(self) -> tuple[int, int] | None:
        if self.leash is None:
            return None
        said = self.log.read_bytes()[self.before.log :]
        return _launch.first_to_end(said.decode("utf-8", "replace"))

    def _hush(self) -> None:
        """mlx.launch looks all the time whether it can write to them, which takes a core, until it
        finds that nobody reads. What ssh starts it goes on with."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), b"\n")

    def stop(self) -> None:
        """Ask for a checkpoint and the end, by closing what the child holds on to."""
        if self.leash:
            self.leash.close()
        if self.process.poll() is None and self.process.stdin:
            if not self.leash:
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
    env, hosts = _environment(), order["hosts"]
    words = [sys.executable, *_launch.PROGRAM]
    if hosts:
        words = _launch.words(hosts, work, {name: env[name] for name in OURS})
        env["TMPDIR"] = str(work)
    leash = _launch.leash(order, work) if hosts else None
    with log.open("ab") as errors:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=env,
            # Ctrl-C in the terminal is the parent's to hear; it then asks the child to stop.
            start_new_session=True,
        )
    child = Child(process, log, queue.Queue(), before, hosts, leash)
    assert process.stdin and process.stdout
    reader = threading.Thread(target=_read, args=(process.stdout, child.lines), daemon=True)
    reader.start()
    try:
        if leash is None:
            _tell(process.stdin, order)
        yield child
    finally:
        try:
            child.stop()
        finally:
            # A second Ctrl-C does not wait for the checkpoint.
            child.kill()
            if leash:
                process.stdin.close()
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


def _event(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "event" in said else None


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

"""When a training is saved, and how little it waits for that: the disk takes a file in while the
next step is computed."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jessy_build.trainers import _checkpoint
from jessy_build.trainers._checkpoint import Checkpoint


class Saving:
    def __init__(self, folder: Path, job: str, seconds: float) -> None:
        """`seconds` lie between two checkpoints at least."""
        self.folder = folder
        self.job = job
        self.seconds = seconds
        self.begun, self.took = time.monotonic(), 0.0
        self.alone = threading.Lock()
        """Held from the first byte of a file until it has its name."""
        self.disk = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    @property
    def due(self) -> bool:
        return time.monotonic() - self.begun > self.seconds * max(1.0, self.took)

    def save(self, checkpoint: Checkpoint) -> None:
        """Returns once it is written. It stands in the place of the former one some time later, at
        the latest when this or `wait` is called again; what went wrong there is raised there."""
        self.wait()
        self.begun = time.monotonic()
        self.alone.acquire()
        try:
            half_made = _checkpoint.write(self.folder, self.job, checkpoint)
            self.pending = self.disk.submit(self._settle, half_made)
        except BaseException:
            self.alone.release()
            raise

    def wait(self) -> None:
        if self.pending is not None:
            self.pending.result()

    def save_at_last(self) -> None:
        """Whoever calls this may save in its own thread, and nobody may after it."""
        self.alone.acquire()

    def _settle(self, half_made: Path) -> None:
        try:
            _checkpoint.settle(half_made)
        finally:
            self.alone.release()
        self.took = time.monotonic() - self.begun

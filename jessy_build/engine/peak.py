"""How much memory a running step took: this process and its children together, at the fullest.

Steps that run side by side share the process, so each of them is told the sum. A sample is taken
every tenth of a second; a peak that is shorter may be missed.
"""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

EVERY = 0.1
"""Seconds between two samples."""


class Peak:
    """`with Peak() as peak: …`, then `peak.bytes`."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        import psutil

        here = psutil.Process()
        while True:
            held = 0
            for process in (here, *here.children(recursive=True)):
                # A child may end between being listed and being asked.
                with suppress(psutil.Error):
                    held += process.memory_info().rss
            self.bytes = max(self.bytes, held)
            if self._over.wait(EVERY):
                return

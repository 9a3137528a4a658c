"""Which questions are being asked at this moment, by any build of a store.

One byte of one file stands for each, locked with lockf: the kernel lets go of it when the process
dies, and it takes a single call, where a file for each would cost as much as to keep the answer.
Such locks are the process's, not the thread's, so its own steps are told apart by a set.
"""

import fcntl
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO


class Claims:
    """Safe for threads and processes. One object a process and file: when a process closes a file,
    it loses all its locks on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def take(self, request: str) -> bool:
        """False when somebody else asks it now. `request` is a digest in hexadecimal digits."""
        with self._lock:
            if request in self._held:
                return False
            if self._file is None:
                self._file = self._path.open("ab")
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(request))
            except (BlockingIOError, PermissionError):
                # POSIX leaves it open which of the two a system says.
                return False
            self._held.add(request)
            return True

    def give_back(self, request: str) -> None:
        with self._lock:
            self._held.discard(request)
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(request))

    def close(self) -> None:
        with self._lock, suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._file = None


def _place(request: str) -> int:
    """A byte far out in a file that has none: two questions in 2**60 share one, and only wait."""
    return int(request[:15], 16)

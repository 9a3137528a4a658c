"""Run a downloading program that can be watched by what it writes, and stopped at any moment."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jessy_build.bases.local import stop_if
from jessy_build.bases.order import Fetch

TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    said: str


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    watch: Callable[[], Iterable[Path]],
    report: Callable[[int], None],
    order: Fetch,
) -> Ended:
    """`report` gets the bytes by which the watched folders have grown."""
    growth = _Growth(watch)
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=order.settings.project,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                stop_if(order.cancelled)
                report(growth.bytes())
                time.sleep(TICK_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Ended(process.returncode, log.read_text(encoding="utf-8", errors="replace"))


class _Growth:
    """Folders may come and go: one that was finished and moved away still counts."""

    def __init__(self, watch: Callable[[], Iterable[Path]]) -> None:
        self._watch = watch
        self._before = {folder: _size(folder) for folder in watch()}
        self._seen: dict[Path, int] = {}

    def bytes(self) -> int:
        for folder in self._watch():
            grown = _size(folder) - self._before.get(folder, 0)
            self._seen[folder] = max(self._seen.get(folder, 0), grown)
        return sum(self._seen.values())


def _size(folder: Path) -> int:
    total = 0
    # Files and folders vanish while they are looked at; os.walk takes that calmly.
    for parent, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                total += Path(parent, file).lstat().st_size
    return total

"""Watches what code does meanwhile: what it opens, how long it computes, how much it takes.

A test that only looks at results would not see a template that reads a file and says nothing.
"""

import os
import signal
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from jessy_build.trainers._result import peak_memory

SECONDS = 10
"""Of the processor, for one example: fifty times what the slowest take."""
MEGABYTES = 200
"""That one example may add to the most that the process ever held."""

NEVER = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.remove", "os.rename")
NEVER += ("os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "shutil.")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# Modules that are imported on first use are read by Python, not by the recipe.
PYTHON = tuple(
    os.path.realpath(path)
    for path in (
        *sysconfig.get_paths().values(),
        Path(__file__).parent.parent.parent / "jessy_build",
    )
)


@dataclass
class Watch:
    on: bool = False
    opened: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        if event in ("open", "os.listdir", "os.scandir"):
            path, *more = arguments
            if isinstance(path, str | bytes | os.PathLike):
                real = os.path.realpath(os.fsdecode(path))
                if not real.startswith(PYTHON):
                    self.opened.add(real)
                    if event == "open" and isinstance(more[-1], int) and more[-1] & WRITING:
                        self.forbidden.add(f"writing {real}")
        elif event.startswith(NEVER):
            self.forbidden.add(event)


WATCH = Watch()
sys.addaudithook(WATCH.note)


class TooLong(BaseException):
    """No Exception, so that nobody who takes all of them takes this one."""


@contextmanager
def guarded(*inside: Path) -> Iterator[None]:
    """Only what lies inside is opened, nothing is written, and it ends soon."""
    before = _begin_anew()
    old, keeps = signal.signal(signal.SIGVTALRM, _too_long), sys.dont_write_bytecode
    # A module that is imported on first use is kept compiled, which is a file renamed.
    sys.dont_write_bytecode = True
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    WATCH.opened.clear()
    WATCH.forbidden.clear()
    WATCH.on = True
    try:
        yield
    finally:
        WATCH.on = False
        sys.dont_write_bytecode = keeps
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)
    roots = tuple(map(os.path.realpath, inside))
    outside = [path for path in WATCH.opened if not path.startswith(roots or "\0")]
    assert not outside, f"opened {outside}"
    assert not WATCH.forbidden, WATCH.forbidden
    assert _peak() - before < MEGABYTES


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong(f"took more than {SECONDS} seconds")


def _begin_anew() -> float:
    """Forget what was the most so far, where the kernel can: earlier tests may have taken more than
    any example. Returns what the most is now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    return peak_memory() / 2**20

"""Run commands in turn, many times each, and keep what each took: time, CPU and peak memory.

This process stays small on purpose: Linux counts a child's peak from what its parent weighed.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RUNS = 11
JESSY = str(Path(sys.executable).with_name("jessy"))
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Command:
    words: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    """Runs ahead of each run, and is not counted."""
    said: str = ""
    """Must stand in the output, so that nothing is timed that has not done its work."""
    ends: int = 0


@dataclass(frozen=True)
class Taken:
    runs: "Sequence[Run]"

    @property
    def median(self) -> float:
        return round(statistics.median(run.seconds for run in self.runs), 4)

    @property
    def least(self) -> float:
        return round(min(run.seconds for run in self.runs), 4)

    @property
    def cpu(self) -> float:
        """Of all cores together, user and system: what a busy neighbour changes least."""
        return round(statistics.median(run.cpu for run in self.runs), 4)

    @property
    def peak_mb(self) -> float:
        return round(max(run.peak for run in self.runs) / 1e6, 1)


@dataclass(frozen=True)
class Run:
    seconds: float
    cpu: float
    peak: int
    """Bytes."""


def in_turn(commands: Mapping[str, Command], runs: int = RUNS) -> dict[str, Taken]:
    """Each command once, then each again: a noisy minute falls on all of them alike.

    The first round warms files and caches and does not count.
    """
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            taken[name].append(once(command))
    return {name: Taken(found[1:]) for name, found in taken.items()}


def once(command: Command) -> Run:
    command.before()
    env = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", **command.env}
    began = time.perf_counter()
    process = subprocess.Popen(
        command.words,
        cwd=command.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != command.ends or command.said not in output:
        words = " ".join(map(str, command.words))
        raise SystemExit(f"{words} ended with {process.returncode}:\n{output[-3000:]}")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * PEAK_UNIT)


def show(what: str, taken: Mapping[str, Taken], beside: str) -> None:
    """A line for each, and how many times as long as `beside` it takes."""
    rows = [
        (
            name,
            f"{t.median:.3f}",
            f"{t.least:.3f}",
            f"{t.cpu:.3f}",
            f"{t.peak_mb:.0f}",
            f"{t.median / taken[beside].median:.2f}",
        )
        for name, t in taken.items()
    ]
    table(rows, (what, "median s", "least s", "CPU s", "peak MB", f"× {beside}"))


def figures(taken: Mapping[str, Taken]) -> dict[str, dict[str, float]]:
    return {
        name: {"median": t.median, "least": t.least, "cpu": t.cpu, "peak_mb": t.peak_mb}
        for name, t in taken.items()
    }


def table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> None:
    texts = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        first, *rest = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join((first, *rest)).rstrip())

"""Builds that are killed with -9, and what they left on the disk."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.steps.project import Process, Project

LOOKED_EVERY = 0.005


def kill_when(
    project: Project,
    words: tuple[str, ...],
    due: Callable[[], bool],
    *,
    harsh: bool,
    out: Path | None = None,
    seconds: float = 300,
) -> bool:
    """Kill the whole process group once it is due; False if the build had ended by then.

    `harsh` also kills the children that have a group of their own: those otherwise see that their
    parent is gone, and end by themselves.
    """
    process = _start(project, words, out)
    late = time.monotonic() + seconds
    while process.poll() is None and not due() and time.monotonic() < late:
        time.sleep(LOOKED_EVERY)
    children = descendants(process.pid) if harsh else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    assert time.monotonic() < late, f"the moment for a kill did not come in {seconds:.0f}s"
    return killed


def kill_after(project: Project, seconds: float, words: tuple[str, ...], harsh: bool) -> bool:
    end = time.monotonic() + seconds
    return kill_when(project, words, lambda: time.monotonic() >= end, harsh=harsh)


def _start(project: Project, words: tuple[str, ...], out: Path | None) -> Process:
    with (out or Path(os.devnull)).open("wb") as told, Path(os.devnull).open("rb") as nothing:
        return project.launch(("build", "recipe.yaml", *words), (nothing, told, told), session=True)


def descendants(pid: int) -> list[int]:
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *descendants(child)]
    return found


@contextmanager
def ledger_of(project: Project, scratch: Path) -> Iterator[sqlite3.Connection | None]:
    """What outlived a kill; None before there are answers. Looked for in a copy: to open the
    ledger would mend it."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for file in (project.root / ".jessy").glob("ledger.sqlite*"):
        shutil.copy(file, scratch)
    if not (scratch / "ledger.sqlite").exists():
        yield None
        return
    with sqlite3.connect(scratch / "ledger.sqlite") as ledger:
        tables = {name for (name,) in ledger.execute("select name from sqlite_master")}
        yield ledger if "replies" in tables else None


def on_disk(project: Project, scratch: Path) -> int:
    """Answers of the teacher that outlived the kill: what models here say is on record, too."""
    with ledger_of(project, scratch) as ledger:
        if ledger is None:
            return 0
        sql = (
            "select count(*) from replies join questions using (stem)"
            " where json_extract(question, '$.provider') = 'anthropic'"
        )
        return int(ledger.execute(sql).fetchone()[0])

"""A damaged ledger: what is whole in it goes into a new one, and the old one is set aside.

Objects stay where they are; whatever is not saved is made or asked anew. The new ledger takes the
old one's name as the last thing, so that a kill in between leaves all as it was.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from jessy_build.engine import locks, seal
from jessy_build.engine.database import LedgerDamaged, inode
from jessy_build.engine.ledger import Ledger

LEFT_OUT = {"files", "notes", "running"}
"""Tables of what can be looked up again, and so is not worth a doubt."""
JSON_COLUMNS = {
    *("question", "reply", "measures", "preimage", "tree", "facts", "about"),
    *("reasons", "reason", "measured", "steps", "config"),
}
BESIDE = ("-wal", "-shm")
Row = tuple[object, ...]


@dataclass(frozen=True)
class Mended:
    problem: str
    hint: str


def mend(damaged: LedgerDamaged) -> Mended | None:
    """None when another process has done it meanwhile."""
    path = damaged.path
    with locks.hold(path.parent / "locks" / "ledger"):
        if inode(path) != damaged.inode:
            return None
        aside = _set_aside(path)
        fresh = path.with_name(f"{path.name}.mended")
        _remove(fresh)
        Ledger(fresh).close()
        answers, artifacts = _take_over(aside, fresh) if aside else (0, 0)
        # What the old one had not yet taken in must not be taken in by the new one.
        for ending in BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        fresh.replace(path)
    return _told(damaged, aside, answers, artifacts)


def _told(damaged: LedgerDamaged, aside: Path | None, answers: int, artifacts: int) -> Mended:
    if aside is None:
        return Mended(
            f"the ledger of the store is gone: {damaged.why}",
            "the answers in it are lost, and are asked anew where they are needed",
        )
    saved = (
        f"{answers} answers and {artifacts} finished steps" if answers + artifacts else "nothing"
    )
    return Mended(
        f"the ledger of the store was damaged ({damaged.why}): {saved} could be saved from it",
        f"the rest is made and asked anew; the damaged one is kept as {aside}",
    )


def _set_aside(path: Path) -> Path | None:
    """A copy under another name; None where there is nothing to be copied."""
    if not inode(path):
        return None
    number = 1
    while (aside := path.with_name(f"ledger.damaged-{number}.sqlite")).exists():
        number += 1
    # The journal first: a copy without it would look whole.
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists():
        shutil.copyfile(journal, aside.with_name(f"{aside.name}-wal"))
    shutil.copyfile(path, aside)
    return aside


def _take_over(aside: Path, fresh: Path) -> tuple[int, int]:
    """How many answers and artifacts could be read. Works on a copy: reading changes a journal."""
    read = fresh.with_name(f"{fresh.name}.read")
    _remove(read)
    for ending in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(
                aside.with_name(aside.name + ending), read.with_name(read.name + ending)
            )
    taken: dict[str, int] = {}
    with closing(sqlite3.connect(read)) as old, closing(sqlite3.connect(fresh)) as new, new:
        old.text_factory = bytes
        for table in [name for (name,) in new.execute(TABLES) if name not in LEFT_OUT]:
            known = {row[1] for row in new.execute(f"pragma table_info({table})")}
            columns = [name for name in _columns(old, table) if name in known]
            marks = ",".join("?" * len(columns))
            add = f"insert or ignore into {table} ({', '.join(columns)}) values ({marks})"
            for row in _whole_rows(old, table, columns):
                with suppress(sqlite3.IntegrityError):
                    taken[table] = taken.get(table, 0) + new.execute(add, row).rowcount
        new.commit()
        new.execute("pragma wal_checkpoint(truncate)")
    _remove(read)
    return taken.get("replies", 0), taken.get("artifacts", 0)


TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"


def _columns(old: sqlite3.Connection, table: str) -> list[str]:
    try:
        return [row[1].decode() for row in old.execute(f"pragma table_info({table})")]
    except (sqlite3.Error, ValueError):
        return []


def _whole_rows(old: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[Row]:
    """From the first one on until it breaks off, and then from the last one back."""
    order = _order(old, table)
    if not columns:
        return
    for direction in ("asc", "desc"):
        by = ", ".join(f"{column} {direction}" for column in order)
        try:
            for row in old.execute(f"select {', '.join(columns)} from {table} order by {by}"):
                whole = _text(columns, row)
                if whole is not None and _sealed(table, dict(zip(columns, whole, strict=True))):
                    yield whole
        except sqlite3.Error:
            continue
        return


def _order(old: sqlite3.Connection, table: str) -> list[str]:
    """As the table lies on the disk, so that nothing behind a broken place is read before it."""
    try:
        old.execute(f"select rowid from {table} limit 0")
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            keys = [
                (row[5], row[1]) for row in old.execute(f"pragma table_info({table})") if row[5]
            ]
            if keys:
                return [name.decode() for _, name in sorted(keys)]
    return ["rowid"]


def _text(columns: list[str], row: Row) -> Row | None:
    """None for a row with something in it that was never written so."""
    try:
        values = tuple(v.decode() if isinstance(v, bytes) else v for v in row)
        for column, value in zip(columns, values, strict=True):
            if column in JSON_COLUMNS and value is not None:
                json.loads(str(value))
    except ValueError:
        return None
    return values


def _sealed(table: str, row: Mapping[str, object]) -> bool:
    sealed = seal.SEALED.get(table, ())
    return not seal.is_broken(row.get("seal"), *(row.get(column) for column in sealed))


def _remove(path: Path) -> None:
    for ending in ("", *BESIDE):
        path.with_name(path.name + ending).unlink(missing_ok=True)

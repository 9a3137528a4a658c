"""Questions that were sent off together, to be answered within a day. Written down before they go.

A batch is paid for once it is sent, so whoever is killed must find it again: each of its questions
stands here from before the sending until its answer is kept, and nobody asks one that does.
"""

import json
import time
from collections.abc import Collection, Iterable, Sequence
from sqlite3 import Connection
from typing import NamedTuple

from jessy_build.engine.database import Database

SCHEMA = """
create table if not exists batches (
  mark text primary key, teacher text not null, size integer not null, made_at real not null,
  id text
) without rowid;
create table if not exists batched (
  request text primary key, mark text not null
) without rowid;
create index if not exists batched_by_mark on batched (mark);
"""
KEPT_DAYS = 29
"""So long the results of a batch are there to be fetched (Anthropic's documentation)."""
DAY = 86_400.0


class Batch(NamedTuple):
    mark: str
    """Our own name for it, in hexadecimal digits: the server's is not known before it is sent."""
    teacher: str
    size: int
    made_at: float
    id: str | None
    """The server's name for it; None when nobody knows whether it was sent."""

    @property
    def is_gone(self) -> bool:
        return time.time() - self.made_at > KEPT_DAYS * DAY


class Batches:
    """A part of the answers: it reads and writes through their connection."""

    def __init__(self, database: Database) -> None:
        self._rows, self._writing = database.rows, database.writing

    def begin(self, mark: str, teacher: str, requests: Sequence[str]) -> Batch:
        """Before it is sent. `requests` are the digests of its questions; the caller holds the
        claim of this mark, or others would take the batch for one whose sender has died."""
        batch = Batch(mark, teacher, 0, time.time(), None)
        with self._writing() as db:
            db.execute("insert into batches values (?,?,?,?,?)", batch)
            return _add(db, batch, requests)

    def add(self, batch: Batch, requests: Sequence[str]) -> Batch:
        with self._writing() as db:
            return _add(db, batch, requests)

    def sent(self, batch: Batch, id: str) -> Batch:
        with self._writing() as db:
            db.execute("update batches set id = ? where mark = ?", (id, batch.mark))
        return batch._replace(id=id)

    def settled(self, requests: Iterable[str]) -> None:
        """Their answers are kept, or will never come. A batch goes with its last question."""
        with self._writing() as db:
            db.executemany("delete from batched where request = ?", [(r,) for r in requests])
            _sweep(db)

    def end(self, batch: Batch) -> None:
        """Nothing more will come of it: its questions may be asked anew."""
        with self._writing() as db:
            db.execute("delete from batched where mark = ?", (batch.mark,))
            _sweep(db)

    def now(self, batch: Batch) -> Batch | None:
        """As it stands by now, since others may have changed it; None when it is over."""
        sql = "select mark, teacher, size, made_at, id from batches where mark = ?"
        return next((Batch(*row) for row in self._rows(sql, batch.mark)), None)

    def waiting(self, requests: Collection[str]) -> list[Batch]:
        """The batches that hold any of these, the oldest first."""
        sql = (
            "select mark, teacher, size, made_at, id from batches where mark in"
            " (select mark from json_each(?) cross join batched on request = json_each.value)"
            " order by made_at"
        )
        return [Batch(*row) for row in self._rows(sql, json.dumps(list(requests)))]

    def requests(self, batch: Batch) -> set[str]:
        """Those of its questions that still wait."""
        return {r for (r,) in self._rows("select request from batched where mark = ?", batch.mark)}

    def ids(self) -> set[str]:
        """The server's names of all batches that are known here."""
        return {id for (id,) in self._rows("select id from batches where id is not null")}


def _add(db: Connection, batch: Batch, requests: Sequence[str]) -> Batch:
    size = batch.size + len(requests)
    rows = [(request, batch.mark) for request in requests]
    db.executemany("insert or replace into batched values (?,?)", rows)
    db.execute("update batches set size = ? where mark = ?", (size, batch.mark))
    return batch._replace(size=size)


def _sweep(db: Connection) -> None:
    db.execute("delete from batches where mark not in (select mark from batched)")

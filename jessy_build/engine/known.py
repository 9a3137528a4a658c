"""What this store knows of the shared ones: what they hold, and which answers they lack.

In the ledger's own file, and only once a shared store was named.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from jessy_build.engine import answers
from jessy_build.engine.database import Database

SCHEMA = (
    "create table if not exists shared_stores (store text primary key) without rowid",
    "create table if not exists shared_holds ("
    " store text not null, name text not null, primary key (store, name)) without rowid",
    "create table if not exists unshared ("
    " store text not null, stem text not null, sample integer not null, attempt integer not null,"
    " primary key (store, stem, sample, attempt)) without rowid",
    # So that whoever writes an answer need not know that there are shared stores.
    "create trigger if not exists replies_unshared after insert on replies begin"
    " insert or ignore into unshared"
    " select store, new.stem, new.sample, new.attempt from shared_stores; end",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One answer as a log segment holds it; question and reply are JSON texts."""

    stem: str
    sample: int
    attempt: int
    usable: bool
    reply: str
    made_at: float
    question: str


class Known:
    """Safe for threads, and for several processes on one machine."""

    def __init__(self, path: Path, store: str) -> None:
        self._store = store
        self._db = Database(path, "normal")
        if not self._registered():
            self._register()

    def close(self) -> None:
        self._db.close()

    def holds(self, name: str) -> bool:
        rows = self._rows("select 1 from shared_holds where store = ? and name = ?", name)
        return bool(rows)

    def segments(self) -> set[str]:
        """The log segments that came from there or went there."""
        rows = self._rows("select name from shared_holds where store = ? and name like 'answers/%'")
        return {name for (name,) in rows}

    def note(self, *names: str) -> None:
        with self._db.writing() as db:
            for name in names:
                self._note(db, name)

    def forget(self, name: str) -> None:
        sql = "delete from shared_holds where store = ? and name = ?"
        with self._db.writing() as db:
            db.execute(sql, (self._store, name))

    def unshared(self, limit: int) -> list[Line]:
        """Answers that the shared store lacks, those to one question side by side."""
        sql = (
            "select r.stem, r.sample, r.attempt, r.usable, r.reply, r.made_at, r.seal, q.question"
            " from unshared as u join replies as r using (stem, sample, attempt)"
            " join questions as q using (stem) where u.store = ? limit ?"
        )
        lines = []
        for *reply, question in self._rows(sql, limit):
            # What is damaged here must not go out to others.
            answers.proved(self._db, reply)
            lines.append(Line(*(*reply[:-1], question)))
        return lines

    def sent(self, segment: str, lines: Iterable[Line]) -> None:
        with self._db.writing() as db:
            self._shared(db, lines)
            self._note(db, segment)

    def take(self, segment: str, lines: Sequence[Line]) -> None:
        """Add what came from there. An answer that is here already stays as it is, but for one that
        cannot become an example where theirs can."""
        with self._db.writing() as db:
            db.executemany(
                "insert or ignore into questions values (?,?)",
                [(line.stem, line.question) for line in lines],
            )
            db.executemany(
                f"insert into {answers.REPLIES} on conflict do {answers.BETTERED}",
                [
                    answers.row_of(x.stem, x.sample, x.attempt, x.usable, x.reply, x.made_at)
                    for x in lines
                ],
            )
            self._shared(db, lines)
            self._note(db, segment)

    def _registered(self) -> bool:
        tables = "select 1 from sqlite_master where name = 'replies_unshared'"
        if not self._db.rows(tables):
            return False
        return bool(self._rows("select 1 from shared_stores where store = ?"))

    def _register(self) -> None:
        """From now on it is noted which answers this store lacks: at first, all."""
        with self._db.writing() as db:
            for sql in SCHEMA:
                db.execute(sql)
            db.execute("insert or ignore into shared_stores values (?)", (self._store,))
            db.execute(
                "insert or ignore into unshared select ?, stem, sample, attempt from replies",
                (self._store,),
            )

    def _note(self, db: Connection, name: str) -> None:
        db.execute("insert or ignore into shared_holds values (?,?)", (self._store, name))

    def _shared(self, db: Connection, lines: Iterable[Line]) -> None:
        db.executemany(
            "delete from unshared where store = ? and stem = ? and sample = ? and attempt = ?",
            [(self._store, line.stem, line.sample, line.attempt) for line in lines],
        )

    def _rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return self._db.rows(sql, self._store, *args)

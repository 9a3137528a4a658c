"""What was asked and answered, one row an answer, and what it cost. In the ledger's own file.

An answer is named by its question's stem (all that decides the answer but the draw), the sample
and the attempt. It is on the disk before `add` returns: SQLite syncs each commit of this
connection, and many answers share one.
"""

import json
import threading
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from jessy_build import digest
from jessy_build.engine import batches, seal
from jessy_build.engine.claims import Claims
from jessy_build.engine.database import Database
from jessy_build.example import request_digest

SCHEMA = f"""
{batches.SCHEMA}
create table if not exists questions (
  stem text primary key, question text not null
) without rowid;
create table if not exists replies (
  stem text not null, sample integer not null, attempt integer not null,
  usable integer not null, reply text not null, made_at real not null, seal integer,
  primary key (stem, sample, attempt)
);
create index if not exists replies_usable on replies (stem, usable, sample);
create table if not exists spent (
  build integer not null, step text not null, teacher text not null, model text not null,
  measures text not null, primary key (build, step, teacher, model)
) without rowid;
"""
COLUMNS = ", ".join((*seal.SEALED["replies"], "made_at", "seal"))
BETTERED = (
    "update set usable = excluded.usable, reply = excluded.reply, made_at = excluded.made_at,"
    " seal = excluded.seal where excluded.usable and not replies.usable"
)
# Each statement of a thread waits for its turn among the others: one for all rows takes a tenth of
# the time of one a row, while answers come in.
ADD_REPLIES = (
    f"insert or replace into replies ({COLUMNS}) select "
    + ", ".join(f"json_extract(value, '$[{n}]')" for n in range(7))
    + " from json_each(?)"
)
ADD_QUESTIONS = (
    "insert or ignore into questions"
    " select json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(?)"
)
REPLIES = f"replies ({COLUMNS}) values (?,?,?,?,?,?,?)"


class Answer(NamedTuple):
    """One answer to sample `sample` of a question, at one attempt."""

    stem: str
    sample: int
    attempt: int
    usable: bool
    """Whether it can become an example. The others are kept too: they were paid for."""
    reply: Mapping[str, Any]
    made_at: float = 0.0


class Spent(NamedTuple):
    """What one step of one build used of one model, summed over its answers."""

    build: int
    step: str
    teacher: str
    model: str
    measures: Mapping[str, float]


class Answers:
    """Safe for threads, and for several processes on one machine."""

    def __init__(self, path: Path) -> None:
        # An answer was paid for: it must outlive a power cut, not only a kill.
        self._db = Database(path, "full")
        self._rows, self._parsed = self._db.rows, self._db.parsed
        self.batches = batches.Batches(self._db)
        self._opening = threading.Lock()
        self._reading: Database | None = None
        self._claims = Claims(path.with_name("asking"))
        self._known: set[str] = set()

    def close(self) -> None:
        self._claims.close()
        if self._reading is not None:
            self._reading.close()
        self._db.close()

    def add(
        self,
        answers: Sequence[Answer],
        questions: Mapping[str, Any],
        spent: Iterable[Spent] = (),
    ) -> None:
        """All of them, or none, in one commit. `questions` holds what the stems stand for."""
        now = time.time()
        rows = [
            row_of(a.stem, a.sample, a.attempt, a.usable, _text(a.reply), a.made_at or now)
            for a in answers
        ]
        new = {stem: q for stem, q in questions.items() if stem not in self._known}
        asked = [(stem, _text(question)) for stem, question in new.items()]
        with self._db.writing() as db:
            db.execute(ADD_REPLIES, (_text(rows),))
            db.execute(ADD_QUESTIONS, (_text(asked),))
            for entry in _summed(spent):
                self._add_spent(db, entry)
        self._known.update(new)

    def usable(self, stems: Sequence[str]) -> set[tuple[str, int]]:
        """The stems and samples that have an answer which can become an example."""
        return set(
            self._rows(
                "select stem, sample from json_each(?) cross join replies"
                " on stem = json_each.value where usable",
                json.dumps(stems),
            )
        )

    def failed(self, stems: Sequence[str]) -> dict[tuple[str, int], int]:
        """Stem and sample → attempts so far, where no attempt has filled the sample."""
        rows = self._rows(
            "select stem, sample, max(attempt) + 1 from json_each(?) cross join replies"
            " on stem = json_each.value group by stem, sample having not max(usable)",
            json.dumps(stems),
        )
        return {(stem, sample): attempts for stem, sample, attempts in rows}

    def of(self, stems: Sequence[str]) -> Iterator[Answer]:
        """Every answer to the questions; the attempts of a sample in their order."""
        rows = self._rows(
            f"select {COLUMNS} from json_each(?) cross join replies on stem = json_each.value"
            " order by stem, sample, attempt",
            json.dumps(stems),
        )
        for row in rows:
            yield self._answer(row)

    def one(self, stem: str, sample: int, attempt: int) -> Answer | None:
        """Does not wait for a commit under way, as whoever reads by the writing connection does."""
        with self._opening:
            if self._reading is None:
                self._reading = Database(self._db.path, "full")
        sql = f"select {COLUMNS} from replies where stem = ? and sample = ? and attempt = ?"
        for row in self._reading.rows(sql, stem, sample, attempt):
            return self._answer(row)
        return None

    def filling(self, stem: str, sample: int) -> Answer | None:
        """The first answer to a sample that can become an example."""
        sql = (
            f"select {COLUMNS} from replies where stem = ? and sample = ? and usable"
            " order by attempt limit 1"
        )
        return next(map(self._answer, self._rows(sql, stem, sample)), None)

    def to(self, request: str) -> Answer | None:
        """The answer to a request, by the request's digest. Looks at every row: for one item."""
        sql = f"select {COLUMNS} from replies where instr(reply, ?) limit 1"
        for row in self._rows(sql, f'"{request}"'):
            return self._answer(row)
        return None

    @contextmanager
    def alone(self, request: str) -> Iterator[bool]:
        """Whether nobody else, here or in another process, asks this very question now. Whoever
        does not may not either: the answer on its way is paid for."""
        free = self._claims.take(request)
        try:
            yield free
        finally:
            if free:
                self._claims.give_back(request)

    def forget(self, before: float, spared: Container[str], *, dry_run: bool) -> int:
        """Drop answers older than a moment, but for the requests to be spared; says how many.

        Questions go with their last answer. What was spent stays on record.
        """
        rows = self._rows("select stem, sample, attempt from replies where made_at < ?", before)
        gone = [row for row in rows if request_digest(*row) not in spared]
        if gone and not dry_run:
            with self._db.writing() as db:
                sql = "delete from replies where stem = ? and sample = ? and attempt = ?"
                db.executemany(sql, gone)
                db.execute("delete from questions where stem not in (select stem from replies)")
            self._known.clear()
        return len(gone)

    def question(self, stem: str) -> Any | None:
        rows = self._rows("select question from questions where stem = ?", stem)
        if not rows:
            return None
        question = self._parsed(rows[0][0])
        if digest.of_value(question) != stem:
            raise self._db.damaged(f"the question {stem[:12]} is not what was written")
        return question

    def spent(self, build: int | None = None) -> list[Spent]:
        """By build, step and model; of all builds when none is named."""
        sql = "select build, step, teacher, model, measures from spent"
        rows = self._rows(f"{sql} where build = ?", build) if build else self._rows(sql)
        return [Spent(b, step, who, model, self._parsed(m)) for b, step, who, model, m in rows]

    def _answer(self, row: tuple[Any, ...]) -> Answer:
        stem, sample, attempt, usable, reply, made_at, _ = row
        proved(self._db, row)
        return Answer(stem, sample, attempt, bool(usable), self._parsed(reply), made_at)

    def _add_spent(self, db: Connection, entry: Spent) -> None:
        key = (entry.build, entry.step, entry.teacher, entry.model)
        found = db.execute(
            "select measures from spent where build = ? and step = ? and teacher = ? and model = ?",
            key,
        ).fetchone()
        sums = self._parsed(found[0]) if found else {}
        for name, amount in entry.measures.items():
            sums[name] = sums.get(name, 0) + amount
        db.execute("insert or replace into spent values (?,?,?,?,?)", (*key, _text(sums)))


def _summed(spent: Iterable[Spent]) -> Iterator[Spent]:
    """One entry for all of a build, step and model."""
    sums: dict[tuple[int, str, str, str], dict[str, float]] = {}
    for entry in spent:
        into = sums.setdefault((entry.build, entry.step, entry.teacher, entry.model), {})
        for name, amount in entry.measures.items():
            into[name] = into.get(name, 0) + amount
    return (Spent(*key, measures) for key, measures in sums.items())


def row_of(
    stem: str, sample: int, attempt: int, usable: bool, reply: str, made_at: float
) -> tuple[Any, ...]:
    """As `REPLIES` takes it; `reply` is a JSON text."""
    sealed = (stem, sample, attempt, usable, reply)
    return (*sealed, made_at, seal.of(*sealed))


def proved(db: Database, row: Sequence[Any]) -> None:
    """LedgerDamaged for a row of `COLUMNS` that is not as it was written."""
    *sealed, _, sum_of_it = row
    if seal.is_broken(sum_of_it, *sealed):
        raise db.damaged(f"an answer to the question {row[0][:12]} is not what was written")


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a character, as of an answer that was cut off: SQLite takes it as an escape only,
        # and all that share its commit would be lost with it.
        return json.dumps(value, separators=(",", ":"))
    return text

"""What each build decided about each step, and why: written as it goes, read by `why` and others.

A row is written when the decision falls and again when the step ends, so a kill loses nothing of
what was decided. Rows of a running build also hold what they name: `forget` leaves it alone.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jessy_build.engine import locks
from jessy_build.engine.database import Database

Outcome = Literal["started", "ran", "reused", "failed"]

SCHEMA = """
create table if not exists decisions (
  build integer not null, step text not null, key text not null, outcome text not null,
  reason text not null, measured text not null, at real not null,
  primary key (build, step)
) without rowid;
create index if not exists decisions_by_key on decisions (key, build);
create table if not exists running (build integer primary key, lock text not null);
create table if not exists projects (folder text primary key) without rowid;
"""

COLUMNS = "build, step, key, outcome, reason, measured, at"
# A build that was killed still says `running` until somebody notices: then it holds nothing more.
HELD = (
    "select 1 from decisions join builds on builds.id = decisions.build"
    " where decisions.key = artifacts.key and builds.status = 'running'"
    " union all select 1 from latest where latest.key = artifacts.key"
)


@dataclass(frozen=True)
class Decided:
    """`reason` and `measured` are the caller's words: the engine only keeps them."""

    build: int
    step: str
    key: str
    outcome: Outcome
    """`started` in a build that is over: it was killed in the middle of this step."""
    reason: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0


class Decisions:
    """A part of the ledger: it reads and writes through the ledger's own connection."""

    def __init__(self, database: Database) -> None:
        self._rows, self._writing = database.rows, database.writing
        self._parsed = database.parsed

    def note(self, decided: Decided) -> bool:
        """Whether the artifact is there, seen in the same transaction.

        So a clean-up either sees the note and spares the artifact, or it came first and the
        caller has to decide again.
        """
        row = (
            *(decided.build, decided.step, decided.key, decided.outcome),
            *(_text(decided.reason), _text(decided.measured), decided.at or time.time()),
        )
        with self._writing() as db:
            db.execute("insert or replace into decisions values (?,?,?,?,?,?,?)", row)
            found = db.execute("select 1 from artifacts where key = ?", (decided.key,)).fetchone()
        return found is not None

    def note_project(self, folder: Path) -> None:
        """A store may serve several projects; a clean-up asks them all what they name."""
        with self._writing() as db:
            db.execute("insert or ignore into projects values (?)", (str(folder),))

    def projects(self) -> list[Path]:
        return [Path(folder) for (folder,) in self._rows("select folder from projects")]

    def of_build(self, build: int) -> dict[str, Decided]:
        """By step, in the order in which they were decided."""
        rows = self._rows(f"select {COLUMNS} from decisions where build = ? order by at", build)
        return {row[1]: self._decided(row) for row in rows}

    def steps(self, recipe: str) -> list[str]:
        """Every step that a build of this recipe has come to, in the order of the last ones."""
        sql = (
            "select step, max(build) as newest, at from decisions where build in"
            " (select id from builds where recipe = ?) group by step order by newest desc, at"
        )
        return [step for step, _, _ in self._rows(sql, recipe)]

    def users(self, key: str) -> list[Decided]:
        """The builds that made the artifact or found it, newest first."""
        sql = f"select {COLUMNS} from decisions where key = ? order by build desc"
        return [self._decided(row) for row in self._rows(sql, key)]

    def last(self, recipe: str, step: str, before: int | None = None) -> Decided | None:
        """The newest decision about the step in the builds of this recipe."""
        sql = (
            f"select {COLUMNS} from decisions where step = ? and build in"
            " (select id from builds where recipe = ? and id < ?) order by build desc limit 1"
        )
        rows = self._rows(sql, step, recipe, before or 1 << 62)
        return self._decided(rows[0]) if rows else None

    def maker(self, key: str, until: int) -> Decided | None:
        """The build that made the artifact which a build found: the last one that ran the step."""
        sql = (
            f"select {COLUMNS} from decisions where key = ? and build <= ? and outcome = 'ran'"
            " order by build desc limit 1"
        )
        rows = self._rows(sql, key, until)
        return self._decided(rows[0]) if rows else None

    def alive(self, root: Path) -> set[int]:
        """The builds at work now: each holds its lock. One that says it runs and holds none is
        dead."""
        rows = self._rows("select build, lock from running")
        return {build for build, lock in rows if lock and locks.is_held(lock_of(root, lock))}

    def keys(self, build: int) -> set[str]:
        return {key for (key,) in self._rows("select key from decisions where build = ?", build)}

    def forget(self, key: str) -> bool:
        """Drop an artifact's row, unless a running build has decided to make or to use it, or a
        recipe's last build ended with it."""
        sql = f"delete from artifacts where key = ? and not exists ({HELD})"
        with self._writing() as db:
            return db.execute(sql, (key,)).rowcount > 0

    def bury(self, build: int) -> None:
        """Say of a build whose process is gone that it was killed."""
        with self._writing() as db:
            db.execute(
                "update builds set status = 'killed' where id = ? and status = 'running'", (build,)
            )
            db.execute("delete from running where build = ?", (build,))

    def _decided(self, row: tuple[Any, ...]) -> Decided:
        build, step, key, outcome, reason, measured, at = row
        told = (self._parsed(reason), self._parsed(measured))
        return Decided(build, step, key, outcome, *told, at)


def lock_of(root: Path, name: str) -> Path:
    """What a build of the store at `root` holds while it lives."""
    return root / "running" / name


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

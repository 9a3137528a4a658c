"""The one SQLite file of a store: artifacts by key, builds, file digests. See also `answers`."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jessy_build.engine import answers, decisions, seal
from jessy_build.engine.database import Database

VERSION = 7
"""Of the tables. An older file gets what it lacks; what was paid for is never dropped."""
ADDED = (
    ("artifacts", "about", "text not null default '{}'"),
    ("artifacts", "seal", "integer"),
    ("replies", "seal", "integer"),
)
"""Columns that tables of earlier versions lack."""
NOTES = 64
SCHEMA = f"""
{answers.SCHEMA}
{decisions.SCHEMA}
create table if not exists artifacts (
  key text primary key, step text not null, kind text not null, preimage text not null,
  tree text not null, facts text not null, seconds real not null, made_at real not null,
  about text not null default '{{}}', seal integer
) without rowid;
create index if not exists artifacts_by_kind on artifacts (kind, made_at);
create table if not exists latest (
  recipe text not null, step text not null, key text not null, reasons text not null,
  primary key (recipe, step)
) without rowid;
create table if not exists builds (
  id integer primary key, recipe text not null, name text not null, version text not null,
  status text not null, started real not null, seconds real, steps text, config text not null
);
create table if not exists notes (
  name text primary key, value blob not null, made_at real not null
) without rowid;
create table if not exists files (
  path text primary key, size integer, mtime integer, ctime integer, inode integer, digest text
) without rowid;
"""
COLUMNS = ", ".join((*seal.SEALED["artifacts"], "seconds", "made_at", "seal"))


@dataclass(frozen=True)
class Artifact:
    """What an action made: files by digest, and facts that were measured on the way.

    Facts (seconds, losses, speeds) are no part of `digest`: two runs with equal files are equal.
    """

    key: str
    step: str
    kind: str
    tree: Mapping[str, tuple[str, int]]
    """Relative POSIX path → (sha256, bytes)."""
    facts: Mapping[str, Any]
    seconds: float
    made_at: float
    preimage: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the recipe said when it was made, as `Step.about`: to say later what changed."""


@dataclass(frozen=True)
class Build:
    """One run of `build`, as it was noted."""

    id: int
    recipe: str
    name: str
    version: str
    status: str
    started: float
    seconds: float | None
    config: Mapping[str, Any]
    """The recipe as it was resolved."""
    steps: Mapping[str, str]
    """Step → key of its artifact."""


class Ledger:
    """Safe for threads, and for several processes on one machine (SQLite's write-ahead log)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Database(path, "normal")
        self._rows, self._writing, self._parsed = self._db.rows, self._db.writing, self._db.parsed
        self._bring_up_to_date()
        self.answers = answers.Answers(path)
        self.decisions = decisions.Decisions(self._db)

    def _bring_up_to_date(self) -> None:
        if self._rows("pragma user_version")[0][0] >= VERSION:
            return
        self._db.run(SCHEMA)
        with self._writing() as db:
            for table, column, kind in ADDED:
                if column not in {row[1] for row in db.execute(f"pragma table_info({table})")}:
                    db.execute(f"alter table {table} add column {column} {kind}")
            db.execute(f"pragma user_version = {VERSION}")

    def close(self) -> None:
        self.answers.close()
        self._db.close()

    def artifact(self, key: str) -> Artifact | None:
        rows = self._rows(f"select {COLUMNS} from artifacts where key = ?", key)
        if not rows:
            return None
        return self._artifact(rows[0])

    def add_artifact(self, artifact: Artifact) -> None:
        sealed = (
            artifact.key,
            artifact.step,
            artifact.kind,
            json.dumps(artifact.preimage, ensure_ascii=False),
            json.dumps(artifact.tree),
            json.dumps(artifact.facts, ensure_ascii=False),
            json.dumps(artifact.about, ensure_ascii=False),
        )
        row = (*sealed, artifact.seconds, artifact.made_at, seal.of(*sealed))
        with self._writing() as db:
            db.execute(
                f"insert or replace into artifacts ({COLUMNS}) values (?,?,?,?,?,?,?,?,?,?)", row
            )

    def has_made(self, kind: str, version: int, params: Mapping[str, Any]) -> bool:
        """Whether any artifact was made with these parameters, from whatever inputs."""
        wanted = json.loads(json.dumps(params))
        return any(
            made["version"] == version and made["params"] == wanted
            for (text,) in self._rows("select preimage from artifacts where kind = ?", kind)
            for made in (self._parsed(text),)
        )

    def forget_artifact(self, key: str) -> None:
        with self._writing() as db:
            db.execute("delete from artifacts where key = ?", (key,))

    def latest(self, recipe: str) -> dict[str, tuple[str, list[str]]]:
        """Step → (key, reasons) of the last build of this recipe that finished the step."""
        rows = self._rows("select step, key, reasons from latest where recipe = ?", recipe)
        return {step: (key, self._parsed(reasons)) for step, key, reasons in rows}

    def set_latest(self, recipe: str, step: str, key: str, reasons: list[str]) -> None:
        text = json.dumps(reasons, ensure_ascii=False)
        with self._writing() as db:
            db.execute("insert or replace into latest values (?,?,?,?)", (recipe, step, key, text))

    def newest(self, kind: str, limit: int = 20) -> list[Artifact]:
        """The last artifacts of a kind, newest first: what such a step took, and made."""
        rows = self._rows(
            f"select {COLUMNS} from artifacts where kind = ? order by made_at desc limit ?",
            kind,
            limit,
        )
        return [self._artifact(row) for row in rows]

    def begin_build(
        self, recipe: str, name: str, version: str, config: Mapping[str, Any], lock: str = ""
    ) -> int:
        """`lock` names what the build holds while it lives, which tells it from a killed one."""
        row = (recipe, name, version, "running", time.time(), json.dumps(config))
        with self._writing() as db:
            cursor = db.execute(
                "insert into builds (recipe, name, version, status, started, config)"
                " values (?,?,?,?,?,?)",
                row,
            )
            build = int(cursor.lastrowid or 0)
            db.execute("insert or replace into running values (?,?)", (build, lock))
            return build

    def end_build(self, build: int, status: str, seconds: float, steps: Mapping[str, str]) -> None:
        with self._writing() as db:
            db.execute(
                "update builds set status = ?, seconds = ?, steps = ? where id = ?",
                (status, seconds, json.dumps(steps), build),
            )
            db.execute("delete from running where build = ?", (build,))

    def builds(self, recipe: str | None = None) -> list[Build]:
        """Newest first."""
        sql = (
            "select id, recipe, name, version, status, started, seconds, config, steps from builds"
        )
        where = " where recipe = ?" if recipe else ""
        rows = self._rows(f"{sql}{where} order by id desc", *([recipe] if recipe else []))
        return [self._build(row) for row in rows]

    def note(self, name: str) -> bytes | None:
        rows = self._rows("select value from notes where name = ?", name)
        return rows[0][0] if rows else None

    def set_note(self, name: str, value: bytes) -> None:
        """What is dear to work out and can be worked out again: only the newest are kept."""
        with self._writing() as db:
            db.execute("insert or replace into notes values (?,?,?)", (name, value, time.time()))
            db.execute(
                "delete from notes where name not in"
                " (select name from notes order by made_at desc limit ?)",
                (NOTES,),
            )

    def file(self, path: str) -> tuple[int, int, int, int, str] | None:
        rows = self._rows(
            "select size, mtime, ctime, inode, digest from files where path = ?", path
        )
        return rows[0] if rows else None

    def set_file(self, path: str, stat: tuple[int, int, int, int], sha256: str) -> None:
        with self._writing() as db:
            db.execute("insert or replace into files values (?,?,?,?,?,?)", (path, *stat, sha256))

    def forget_file(self, path: str) -> None:
        with self._writing() as db:
            db.execute("delete from files where path = ?", (path,))

    def forget_files(self, paths: Iterable[str]) -> None:
        with self._writing() as db:
            db.executemany("delete from files where path = ?", [(path,) for path in paths])

    def noted_files(self) -> list[str]:
        """Every path, or digest of a stored object, that something is noted about."""
        return [path for (path,) in self._rows("select path from files")]

    def artifacts(self, kind: str | None = None) -> Iterator[Artifact]:
        """All of them, or those of a kind, newest first; one at a time."""
        where, args = (" where kind = ?", (kind,)) if kind else ("", ())
        rows = self._rows(f"select key from artifacts{where} order by made_at desc", *args)
        for (key,) in rows:
            if (artifact := self.artifact(key)) is not None:
                yield artifact

    def trees(self) -> list[dict[str, str]]:
        """Path → sha256 of every artifact that exists."""
        rows = self._rows("select tree from artifacts")
        return [{path: file[0] for path, file in self._parsed(tree).items()} for (tree,) in rows]

    def named_keys(self) -> set[str]:
        """What the last build of each recipe was made of."""
        return {key for (key,) in self._rows("select key from latest")}

    def changes(self) -> int:
        """Another number than before, once another process has written."""
        return int(self._rows("pragma data_version")[0][0])

    def _artifact(self, row: tuple[Any, ...]) -> Artifact:
        *sealed, seconds, made_at, sum_of_it = row
        key, step, kind, preimage, tree, facts, about = sealed
        if seal.is_broken(sum_of_it, *sealed):
            raise self._db.damaged(f"what stands there of {step} is not what was written")
        files = {path: (file[0], file[1]) for path, file in self._parsed(tree).items()}
        return Artifact(
            *(key, step, kind, files, self._parsed(facts), seconds, made_at),
            self._parsed(preimage),
            self._parsed(about),
        )

    def _build(self, row: tuple[Any, ...]) -> Build:
        id, recipe, name, version, status, started, seconds, config, steps = row
        made = self._parsed(steps or "{}")
        asked = self._parsed(config)
        return Build(id, recipe, name, version, status, started, seconds, asked, made)

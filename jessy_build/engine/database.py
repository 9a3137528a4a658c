"""One SQLite file for threads and processes, and what can be wrong with it said in our words."""

import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from jessy_build.engine import disk

MAGIC = b"SQLite format 3\0"
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
BROKEN_WORDS = ("no such table", "no such column", "Could not decode")
"""What SQLite says of a file whose own description of itself is gone."""
PATIENCE = 60
"""Seconds to wait for others who write."""


class LedgerDamaged(Exception):
    """The file is not what was written. `mend` saves what is whole; then everything starts anew."""

    def __init__(self, path: Path, inode: int, why: str) -> None:
        super().__init__(f"{path} is damaged: {why}")
        self.path = path
        self.inode = inode
        """Of the file as it was found damaged, 0 where there is none: another process may have
        mended it by now."""
        self.why = why


class Database:
    def __init__(self, path: Path, synchronous: Literal["normal", "full"]) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self.noticing():
            self._db = sqlite3.connect(
                path, timeout=PATIENCE, check_same_thread=False, isolation_level=None
            )
            _write_ahead(self._db)
            self._db.execute(f"pragma synchronous={synchronous}")
        self._inode = inode(path)

    def close(self) -> None:
        self._db.close()

    def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        with self._lock, self.noticing():
            return self._db.execute(sql, args).fetchall()

    def run(self, script: str) -> None:
        with self._lock, self.noticing():
            self._db.executescript(script)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with self._lock, self.noticing():
            try:
                self._db.execute("begin immediate")
                yield self._db
                self._db.execute("commit")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("rollback")
                raise

    def parsed(self, text: str) -> Any:
        """JSON as we wrote it; anything else means that the file was not left alone."""
        try:
            return json.loads(text)
        except (ValueError, TypeError) as error:
            raise self.damaged(str(error)) from error

    @contextmanager
    def noticing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The low byte is the kind of error, the others tell where in SQLite it arose.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in BROKEN or any(words in str(error) for words in BROKEN_WORDS):
                raise self.damaged(str(error)) from error
            if code == sqlite3.SQLITE_FULL or disk.is_full(self.path.parent):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            if isinstance(error, sqlite3.OperationalError):
                raise OSError(errno.EIO, str(error), str(self.path)) from error
            raise

    def damaged(self, why: str) -> LedgerDamaged:
        return LedgerDamaged(self.path, getattr(self, "_inode", 0) or inode(self.path), why)


def _write_ahead(db: sqlite3.Connection) -> None:
    """Of two that change a new file to its journal in one moment SQLite turns one away at once,
    whatever its patience, since each would wait for the other."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.01)


def inode(path: Path) -> int:
    """Which file bears the name now; 0 for none, and for one with nothing in it."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return found.st_ino if found.st_size >= len(MAGIC) else 0

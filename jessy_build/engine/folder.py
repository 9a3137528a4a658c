"""A shared store in a folder that several people or machines can reach: a mounted disk, say.

Plain files, so that the rename, the sync and the rights are ours.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jessy_build.engine.depot import Refused, Told, in_words

LONGEST = 64 << 20
"""Bytes of a row or a log segment. What is longer is none of ours."""
CHUNK = 1 << 20
LEFT_SECONDS = 24 * 3600
"""A half-written file this old was left by a process that was killed."""


class Folder:
    local = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)
        self._swept = False

    def read(self, name: str) -> bytes | None:
        with self._asked():
            if (size := self._size(name)) is None:
                return None
            if size > LONGEST:
                raise Refused(f"{name} is {size} bytes long, which nothing of ours is")
            return (self.root / name).read_bytes()

    def fetch(self, name: str, to: Path, told: Told) -> bool:
        with self._asked():
            if self._size(name) is None:
                return False
            source = (self.root / name).open("rb")
        with source, to.open("xb") as target:
            while chunk := self._chunk(source):
                target.write(chunk)
                told(target.tell())
        return True

    def size(self, name: str) -> int | None:
        with self._asked():
            return self._size(name)

    def write(self, name: str, content: bytes) -> None:
        with self._asked(), self._writing(name) as target:
            target.write(content)

    def send(self, name: str, file: Path, told: Told) -> None:
        with self._asked(), file.open("rb") as source, self._writing(name) as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
                told(target.tell())

    def names(self, below: str) -> list[str]:
        with self._asked():
            try:
                return sorted(path.name for path in (self.root / below).iterdir())
            except FileNotFoundError:
                self._reach()
                return []

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write; it takes its name once the block has ended well."""
        import secrets

        self._folder(self.root / "tmp")
        self._sweep()
        target = self.root / name
        self._folder(target.parent)
        fresh = self.root / "tmp" / secrets.token_hex(16)
        try:
            with fresh.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # As readable as the folder itself: what a group shares must be open to the group.
            fresh.chmod(stat.S_IMODE(self.root.stat().st_mode) & 0o444)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            # Some network file systems cannot sync a folder, and need not.
            with suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)

    def _folder(self, path: Path) -> None:
        """With the rights of the folder above, so that a group's store stays open to the group."""
        if path.is_dir():
            return
        if path == self.root:
            # Only the last part is made: a disk that is not mounted must not be mistaken for one.
            path.mkdir(exist_ok=True)
            return
        self._folder(path.parent)
        path.mkdir(exist_ok=True)
        with suppress(PermissionError):
            path.chmod(stat.S_IMODE(path.parent.stat().st_mode))

    def _sweep(self) -> None:
        """Once a run: remove what killed processes left half-written."""
        if self._swept:
            return
        self._swept = True
        for path in (self.root / "tmp").iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                    path.unlink()

    def _size(self, name: str) -> int | None:
        try:
            found = (self.root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            self._reach()
            return None
        # A pipe or a device would keep the reader waiting.
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _reach(self) -> None:
        """A folder that is not there yet is empty; one whose place is not there is out of reach."""
        if not self.root.is_dir() and not self.root.parent.is_dir():
            raise Refused("there is no such folder")

    def _chunk(self, source: IO[bytes]) -> bytes:
        with self._asked():
            return source.read(CHUNK)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Refused(in_words(error)) from None

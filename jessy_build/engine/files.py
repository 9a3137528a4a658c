"""Digests of files that belong to the user, read again only when they may have changed."""

import time
from pathlib import Path

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Ledger

# A file changed within this time of being read may change again without its times showing it.
FRESH_NS = 2_000_000_000


class FileDigests:
    """Like git's index: size, mtime, ctime and inode may say "surely untouched", never more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of(self, path: Path) -> str:
        """The sha256 of a file, or the digest of a folder's tree."""
        return digest.of_tree(self.tree(path)) if path.is_dir() else self._file(path)

    def tree(self, path: Path) -> dict[str, str]:
        """The sha256 of a file by its name, or of each file in a folder by its path there."""
        if not path.is_dir():
            return {path.name: self._file(path)}
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return {p.relative_to(path).as_posix(): self._file(p) for p in files}

    def _file(self, path: Path) -> str:
        try:
            return self._read(path)
        except FileNotFoundError:
            raise StepError(
                f"{path} vanished while it was read", hint="build again when nothing changes there"
            ) from None

    def _read(self, path: Path) -> str:
        s = path.stat()
        stat = (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
        noted = self._ledger.file(str(path.resolve()))
        if noted is not None and noted[:4] == stat:
            return noted[4]
        sha256 = digest.of_file(path)
        if time.time_ns() - max(s.st_mtime_ns, s.st_ctime_ns) > FRESH_NS:
            self._ledger.set_file(str(path.resolve()), stat, sha256)
        return sha256

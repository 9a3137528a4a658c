"""Keep files by their content, and prove them before use.

objects/ab/cdef…      one file per content, read-only
views/<tree digest>/  an artifact as a folder, hard-linked to its objects
work/<key>/           a step's scratch folder; outlives a kill, goes when the step is done
locks/<key>           held while a step runs, let go by the kernel when its process dies
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Artifact, Ledger
from jessy_build.plan.step import Action, Step

LOOK_SECONDS = 0.05
"""Between two looks whether another process has let go."""


class Damaged(Exception):
    """A stored file is gone or is not what its name says."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"stored file {path} {why}")


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self.ledger = Ledger(root / "ledger.sqlite")
        except OSError as error:
            raise StepError(
                f"the store {root} cannot be used: {error.strerror}",
                hint="set JESSY_STORE to a folder you may write to",
            ) from None
        self._proved: dict[str, tuple[int, int, int, int]] = {}

    def find(self, key: str) -> Artifact | None:
        return self.ledger.artifact(key)

    def digest(self, artifact: Artifact) -> str:
        return digest.of_tree({path: sha for path, (sha, _) in artifact.tree.items()})

    def object(self, sha256: str) -> Path:
        return self.root / "objects" / sha256[:2] / sha256[2:]

    def glance(self, artifact: Artifact) -> None:
        """Raise Damaged if a file is gone or was touched and is no longer what it was.

        Cheap: content is read only where size, times or inode are not those noted when it was
        last read whole.
        """
        for path, (sha256, _) in artifact.tree.items():
            file = self.object(sha256)
            noted = self.ledger.file(sha256)
            if noted is None or _stat(file, path) != noted[:4]:
                self._prove(path, sha256)

    def view(self, artifact: Artifact) -> Path:
        """The artifact as a folder to read. Every file is read and compared with its digest."""
        self.prove(artifact)
        folder = self.root / "views" / self.digest(artifact)
        if not folder.is_dir() or not self._linked(folder, artifact):
            self._link(folder, artifact)
        return folder

    def prove(self, artifact: Artifact) -> None:
        """Raise Damaged unless every file is what it was when this process last read it whole."""
        for path, (sha256, _) in artifact.tree.items():
            if self._proved.get(sha256) != _stat(self.object(sha256), path):
                self._prove(path, sha256)

    def put(
        self, step: Step, action: Action, folder: Path, facts: Mapping[str, Any], started: float
    ) -> Artifact:
        """Move the folder's files into the store; the artifact exists once its row is written.

        `started` is when the step began, on the monotonic clock.
        """
        tree: dict[str, tuple[str, int]] = {}
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            sha256 = digest.of_file(file)
            tree[file.relative_to(folder).as_posix()] = (sha256, file.stat().st_size)
            self._keep(file, sha256)
        artifact = Artifact(
            action.key,
            step.name,
            step.kind,
            tree,
            dict(facts),
            time.monotonic() - started,
            time.time(),
            action.preimage,
            step.about,
        )
        self.ledger.add_artifact(artifact)
        return artifact

    def forget(self, artifact: Artifact) -> None:
        self.ledger.forget_artifact(artifact.key)

    def work(self, key: str) -> Path:
        folder = self.root / "work" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def done_with(self, key: str) -> None:
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    @contextmanager
    def claim(self, key: str, waiting: Callable[[float], None] = lambda _: None) -> Iterator[None]:
        """Wait until no other process runs this action. A dead process holds nothing.

        `waiting` is called now and then with the seconds so far; what it raises ends the wait.
        """
        path = self.root / "locks" / key
        path.parent.mkdir(exist_ok=True)
        began = time.monotonic()
        # The file stays: removing it would let a waiter and a newcomer hold two different ones.
        with path.open("w") as file:
            while not _locked(file):
                waiting(time.monotonic() - began)
                time.sleep(LOOK_SECONDS)
            yield

    def _keep(self, file: Path, sha256: str) -> None:
        target = self.object(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        file.chmod(0o444)
        # An object of that name may lie there damaged: the fresh one always takes its place.
        file.replace(target)
        self._note(target, sha256)

    def _prove(self, path: str, sha256: str) -> None:
        file = self.object(sha256)
        before = _stat(file, path)
        if digest.of_file(file) != sha256:
            file.unlink(missing_ok=True)
            self.ledger.forget_file(sha256)
            raise Damaged(path, "was damaged (its content is not what its digest says)")
        self._proved[sha256] = before
        self.ledger.set_file(sha256, before, sha256)

    def _note(self, target: Path, sha256: str) -> None:
        stat = _stat(target, sha256)
        self._proved[sha256] = stat
        self.ledger.set_file(sha256, stat, sha256)

    def _linked(self, folder: Path, artifact: Artifact) -> bool:
        return all(
            (folder / path).exists() and (folder / path).samefile(self.object(sha256))
            for path, (sha256, _) in artifact.tree.items()
        )

    def _link(self, folder: Path, artifact: Artifact) -> None:
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}.{time.monotonic_ns()}")
        for path, (sha256, _) in artifact.tree.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            link(self.object(sha256), fresh / path)
            self._note(self.object(sha256), sha256)
        fresh.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            fresh.rename(folder)
        except OSError as error:
            # Another build made the same view meanwhile; it is as good as ours.
            shutil.rmtree(fresh, ignore_errors=True)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def link(source: Path, target: Path) -> None:
    """Hard-link where the file system can, else copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stat(file: Path, path: str) -> tuple[int, int, int, int]:
    try:
        s = file.stat()
    except FileNotFoundError:
        raise Damaged(path, "is gone") from None
    return (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)

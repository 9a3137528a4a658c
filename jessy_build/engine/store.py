"""Keep files by their content, and prove them before use.

objects/ab/cdef…      one file per content, read-only
views/<tree digest>/  an artifact as a folder, hard-linked to its objects
work/<key>/           a step's scratch folder; outlives a kill, goes when the step is done
incoming/             files on their way here from a shared store
locks/<key>           held while a step runs, let go by the kernel when its process dies
asking                a byte held for each question that is being asked, see `claims`
running/<name>        held as long as a build lives; see `decisions`
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine import disk, locks
from jessy_build.engine.database import LedgerDamaged, inode
from jessy_build.engine.ledger import Artifact, Ledger
from jessy_build.plan.step import Action, Step

if TYPE_CHECKING:
    from jessy_build.engine.shared import Shared

LOOK_SECONDS = 0.05
"""Between two looks whether another process has let go."""
LEFT_SECONDS = 24 * 3600


class Damaged(StepError):
    """A stored file is gone or is not what its name says."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"stored file {path} {why}", hint="build again: it is made anew")


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root
        _must_have_its_ledger(root)
        try:
            self.ledger = Ledger(root / "ledger.sqlite")
        except OSError as error:
            if error.errno in disk.FULL:
                raise disk.no_space() from None
            raise StepError(
                f"the store {root} cannot be used: {error.strerror}",
                hint="set JESSY_STORE to a folder you may write to",
            ) from None
        self._proved: dict[str, tuple[int, int, int, int]] = {}
        self.shared: Shared | None = None
        """Where what is not here is asked for, and what was made here goes; see `shared.join`."""
        self.lost: dict[str, str] = {}
        """Key of an artifact that could not be had from there in this run → why."""

    def find(self, key: str) -> Artifact | None:
        """Here, or in the shared store: then its files come when they are needed, not before."""
        artifact = self.ledger.artifact(key)
        if artifact is None and self.shared is not None:
            artifact = self.shared.find(key)
            if artifact is not None:
                self.ledger.add_artifact(artifact)
            else:
                # Something will be made, and may ask what others have asked before.
                self.shared.import_answers()
        return artifact

    def digest(self, artifact: Artifact) -> str:
        return digest.of_tree({path: sha for path, (sha, _) in artifact.tree.items()})

    def object(self, sha256: str) -> Path:
        return self.root / "objects" / sha256[:2] / sha256[2:]

    def glance(self, artifact: Artifact) -> None:
        """Raise Damaged if a file is gone or was touched and is no longer what it was.

        Cheap: content is read only where size, times or inode are not those noted when it was
        last read whole. What a shared store holds need not be here.
        """
        for path, (sha256, _) in artifact.tree.items():
            try:
                self._glance(path, sha256)
            except Damaged:
                if self.shared is None or not self.shared.holds(artifact):
                    raise

    def bring(self, artifact: Artifact, step: str = "") -> None:
        """Like `glance`, and what is not here comes from the shared store, now.

        `step` is the one that waits for it, to be named in what is told meanwhile.
        """
        self._have(artifact, self._glance, step)

    def view(self, artifact: Artifact, step: str = "") -> Path:
        """The artifact as a folder to read. Every file is read and compared with its digest."""
        self._have(artifact, self._read_whole, step)
        folder = self.root / "views" / self.digest(artifact)
        folder.mkdir(parents=True, exist_ok=True)
        self._lay_out(folder, artifact)
        return folder

    def prove(self, artifact: Artifact) -> None:
        """Raise Damaged unless every file is what it was when this process last read it whole."""
        for path, (sha256, _) in artifact.tree.items():
            self._read_whole(path, sha256)

    def put(
        self, step: Step, action: Action, folder: Path, facts: Mapping[str, Any], started: float
    ) -> Artifact:
        """Move the folder's files into the store; the artifact exists once its row is written.

        `started` is when the step began, on the monotonic clock.
        """
        with self.adding():
            tree: dict[str, tuple[str, int]] = {}
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                size = file.stat().st_size
                tree[file.relative_to(folder).as_posix()] = (self._keep(file), size)
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
        if self.shared is not None:
            self.shared.hand(artifact)
        return artifact

    def adding(self) -> AbstractContextManager[None]:
        """Held from the first object to the row that names it: `gc` takes no object meanwhile."""
        return locks.hold(self.root / "locks" / "objects", shared=True)

    def forget(self, artifact: Artifact) -> None:
        self.ledger.forget_artifact(artifact.key)
        if self.shared is not None:
            self.shared.distrust(artifact)

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
        while True:
            with path.open("w") as file:
                while not _locked(file):
                    waiting(time.monotonic() - began)
                    time.sleep(LOOK_SECONDS)
                # `gc` removes the file of a lock that it holds: then this one is nobody's any more.
                if locks.is_still(path, file):
                    yield
                    return

    def _keep(self, file: Path) -> str:
        """Move the file to where its content names it; returns its sha256."""
        before = _body(_stat(file, file.name))
        with file.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
            os.fsync(handle.fileno())
        file.chmod(0o444)
        target = self.object(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        # A sound one stays, since others may be reading it; a damaged one gives way.
        if not target.exists() or digest.of_file(target) != sha256:
            file.replace(target)
            if _body(_stat(target, file.name)) != before:
                target.unlink(missing_ok=True)
                raise _changed(file)
        self._note(target, sha256)
        return sha256

    def _have(self, artifact: Artifact, check: Callable[[str, str], None], step: str) -> None:
        for path, (sha256, _) in artifact.tree.items():
            try:
                check(path, sha256)
            except Damaged:
                if self.shared is None or not self.shared.holds(artifact):
                    raise
                self._fetch(self.shared, artifact, path, step or artifact.step)

    def _fetch(self, shared: "Shared", artifact: Artifact, path: str, step: str) -> None:
        from jessy_build.engine.shared import Lost

        sha256, size = artifact.tree[path]
        folder = self.root / "incoming"
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        fresh = folder / f"{sha256}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            shared.fetch(
                sha256,
                size,
                fresh,
                lambda done: shared.progress(step, done, size, f"{path} from the shared store"),
            )
            self._keep(fresh)
        except Lost as lost:
            self.forget(artifact)
            damaged = Damaged(path, str(lost))
            self.lost[artifact.key] = damaged.problem
            raise damaged from None
        finally:
            fresh.unlink(missing_ok=True)

    def _glance(self, path: str, sha256: str) -> None:
        noted = self.ledger.file(sha256)
        if noted is None or _stat(self.object(sha256), path) != noted[:4]:
            self._prove(path, sha256)

    def _read_whole(self, path: str, sha256: str) -> None:
        if self._proved.get(sha256) != _stat(self.object(sha256), path):
            self._prove(path, sha256)

    def _prove(self, path: str, sha256: str) -> None:
        file = self.object(sha256)
        before = _stat(file, path)
        if digest.of_file(file) != sha256:
            # It stays where it lies: a sound one takes its place, and until then it is named so.
            self.ledger.forget_file(sha256)
            raise Damaged(path, "was damaged (its content is not what its digest says)")
        self._proved[sha256] = before
        self.ledger.set_file(sha256, before, sha256)

    def _note(self, target: Path, sha256: str) -> None:
        stat = _stat(target, sha256)
        self._proved[sha256] = stat
        self.ledger.set_file(sha256, stat, sha256)

    def link(self, sha256: str, target: Path) -> None:
        """Put the object there under a name of its own as well; nothing may lie there yet."""
        source = self.object(sha256)
        link(source, target)
        # A new name changes the ctime and nothing else: what was proved stays so.
        proved = self._proved.get(sha256)
        if proved and _body(_stat(source, sha256)) == _body(proved):
            self._note(source, sha256)

    def _lay_out(self, folder: Path, artifact: Artifact) -> None:
        """Only what is wrong is mended, file by file: another process may be reading the rest."""
        there = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        for path in there - artifact.tree.keys():
            (folder / path).unlink(missing_ok=True)
        for path, (sha256, _) in artifact.tree.items():
            if path not in there or not (folder / path).samefile(self.object(sha256)):
                fresh = folder.with_name(f".{os.getpid()}.{time.monotonic_ns()}")
                self.link(sha256, fresh)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                fresh.replace(folder / path)


def link(source: Path, target: Path) -> None:
    """Hard-link where the file system can, else copy."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _must_have_its_ledger(root: Path) -> None:
    """Objects, and nothing that says what they are: somebody or something took it away."""
    path, objects = root / "ledger.sqlite", root / "objects"
    if not inode(path) and objects.is_dir() and any(objects.iterdir()):
        raise LedgerDamaged(path, 0, "it is empty" if path.exists() else "it is missing")


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written: by now nobody can be writing there."""
    for left in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                left.unlink()


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


def _body(stat: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """What a new name or mode leaves as it is: size, time of the last change, inode."""
    size, mtime, _, inode = stat
    return (size, mtime, inode)


def _changed(file: Path) -> StepError:
    return StepError(
        f"{file.name} was changed by somebody while it was put into the store",
        hint="leave the store's folder alone, and build again",
    )

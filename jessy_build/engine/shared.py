"""A store that several people or machines share: what one has built, the others take from there.

v1/objects/ab/cdef…        a file, named by its content
v1/rows/ab/cdef….json      an artifact, named by its action's key; its first line is the digest of
                           the rest. Written behind all of its objects: a row means they are there.
v1/answers/<sha256>.jsonl  answers that somebody has asked; every other store imports it once

Nothing that comes from there is believed: a file must have the digest it is named by, a row the
key of its own pre-image. What fails is said, left aside, and made again here. And whatever happens
there, a build goes on here: a shared store that cannot be used is one line of warning.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import digest
from jessy_build.engine import depot as depots
from jessy_build.engine.courier import NAME, Courier
from jessy_build.engine.depot import Depot, Refused
from jessy_build.engine.events import Event, StepNote, StepProgress
from jessy_build.engine.known import Known
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.packed import (
    SHA256,
    Wrong,
    artifact_of,
    lines_of,
    row_of,
    segment_of,
)

if TYPE_CHECKING:
    from jessy_build.engine.store import Store

SEGMENT = 1_000
"""Answers in one log segment, at most."""
ANSWERS_WANTED = "answers wanted"
"""What is noted when artifacts came from there, until the answers have come, too."""
AT_ONCE = 8
"""Log segments read at the same time."""


class Lost(Exception):
    """The shared store should have this file, and it cannot be had from there; says why."""


def join(store: "Store", address: str, origin: Path, *, offline: bool) -> None:
    """Let the store share with the one at `address`. Offline only a folder is asked."""
    depot = depots.at(address, origin)
    if depot.local or not offline:
        known = Known(store.root / "ledger.sqlite", depot.name)
        store.shared = Shared(depot, known, store.object)


class Shared:
    """One run's dealings with a shared store. Safe for threads.

    What is pushed is carried by a thread of its own while the build goes on.
    """

    def __init__(self, depot: Depot, known: Known, file_of: Callable[[str], Path]) -> None:
        self._depot = depot
        self._known = known
        self._file_of = file_of
        self._reading = self._writing = True
        self._lock = threading.RLock()
        self._missed: set[str] = set()
        """Keys that are not asked for again in this run."""
        self._wrong: set[str] = set()
        """Keys of which something was found wrong there: all of it is written anew."""
        self._imported = False
        self._emit: Callable[[Event], None] | None = None
        self._notes: list[str] = []
        self._courier = Courier(self)

    # What it says

    def listen(self, emit: Callable[[Event], None]) -> None:
        """Say from now on as events what there is to say, and first what was not said yet."""
        self._emit = emit
        for text in self.notes():
            self._tell(text)

    def notes(self) -> list[str]:
        """What there was to say while nobody listened; each once."""
        said, self._notes = self._notes, []
        return said

    def progress(self, step: str, done: int, total: int, text: str) -> None:
        if self._emit:
            self._emit(StepProgress(step, done, total, "bytes", text))

    # What others have made

    def find(self, key: str) -> Artifact | None:
        """The artifact of an action, if somebody has made it."""
        if not self._reading or key in self._missed:
            return None
        try:
            artifact = self._row(key)
        except Refused as refused:
            self._stop(str(refused))
            return None
        except Wrong as wrong:
            self._tell(f"the row of {key[:12]} {wrong}: it is not used")
            self._wrong.add(key)
            artifact = None
        if artifact is None:
            self._missed.add(key)
        else:
            self._known.note(_holding(artifact), ANSWERS_WANTED)
        return artifact

    def holds(self, artifact: Artifact) -> bool:
        """Whether the files of this very artifact can be had from there, as far as is known."""
        if not self._reading:
            return False
        if self._known.holds(_holding(artifact)):
            return True
        found = self.find(artifact.key)
        return found is not None and found.tree == artifact.tree

    def fetch(self, sha256: str, size: int, to: Path, told: Callable[[int], None]) -> None:
        """Bring a file here and prove it; raises Lost. `to` may be left behind half-written."""
        if not self._reading:
            raise Lost("is not here, and the shared store is out of reach")

        def each(done: int) -> None:
            if done > size:
                raise Lost("is longer in the shared store than its row says")
            told(done)

        try:
            found = self._depot.fetch(_object(sha256), to, each)
            if not found:
                raise Lost("is gone from the shared store")
            if to.stat().st_size != size or digest.of_file(to) != sha256:
                raise Lost("was damaged in the shared store")
        except Refused as refused:
            self._stop(str(refused))
            raise Lost(f"cannot be had from the shared store: {refused}") from None

    def distrust(self, artifact: Artifact) -> None:
        """Its files were damaged or could not be had: it is made again, and takes its place."""
        self._missed.add(artifact.key)
        self._wrong.add(artifact.key)
        self._known.forget(_holding(artifact))

    def import_answers(self) -> None:
        """Take over what others have asked since. Once a run, by whoever needs it first."""
        with self._lock:
            if self._imported or not self._reading:
                return
            self._imported = True
            try:
                self._import_new()
                self._known.forget(ANSWERS_WANTED)
            except Refused as refused:
                self._stop(str(refused))

    # What others shall have

    def hand(self, artifact: Artifact) -> None:
        """Share it, and the answers so far, while the build goes on."""
        if self._writing and not self._known.holds(_holding(artifact)):
            self._courier.hand(artifact)

    def settle(self, artifacts: Iterable[Artifact]) -> None:
        """Wait until all of them are there, or cannot be brought there.

        Whoever took artifacts from there takes the answers as well: `show` can then tell what was
        asked for a row that somebody else has paid for.
        """
        if self._known.holds(ANSWERS_WANTED):
            self.import_answers()
        for artifact in artifacts:
            self.hand(artifact)
        self._courier.settle()

    def push(self, artifact: Artifact, told: Callable[[int], None]) -> None:
        """All objects, then the row. Never raises for what the shared store refuses."""
        holding = _holding(artifact)
        if not self._writing or self._known.holds(holding):
            return
        try:
            done, anew = 0, artifact.key in self._wrong
            for sha256, size in artifact.tree.values():
                there = not anew and self._depot.size(_object(sha256)) == size
                if not there and not self._send(sha256, _behind(done, told)):
                    return
                done += size
            if anew or not self._has_row(artifact.key):
                self._depot.write(_row_name(artifact.key), row_of(artifact))
        except Refused as refused:
            self._stop_writing(str(refused))
        except Wrong:
            # It would be refused by every reader, so it stays here.
            return
        else:
            self._known.note(holding)

    def push_answers(self) -> None:
        try:
            while self._writing and (lines := self._known.unshared(SEGMENT)):
                content = segment_of(lines)
                name = f"answers/{digest.of_bytes(content)}.jsonl"
                self._depot.write(f"v1/{name}", content)
                self._known.sent(name, lines)
        except Refused as refused:
            self._stop_writing(str(refused))

    def gave_up(self, error: Exception) -> None:
        """A fault of ours on the way there is no reason for a build to fail."""
        self._stop_writing(f"{type(error).__name__} on the way there")

    def _send(self, sha256: str, told: Callable[[int], None]) -> bool:
        """False if there is nothing sound here to send: the local store will find that, too."""
        file = self._file_of(sha256)
        try:
            if digest.of_file(file) != sha256:
                return False
        except OSError:
            return False
        self._depot.send(_object(sha256), file, told)
        return True

    def _has_row(self, key: str) -> bool:
        """The first row stays: all who share then have the same. A damaged one gives way."""
        try:
            return self._row(key) is not None
        except Wrong:
            return False

    def _row(self, key: str) -> Artifact | None:
        content = self._depot.read(_row_name(key))
        return None if content is None else artifact_of(key, content)

    def _import_new(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        seen = self._known.segments()
        names = [f"answers/{name}" for name in self._depot.names("v1/answers")]
        new = [name for name in names if name not in seen and SHA256.fullmatch(_stem(name))]
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            contents = pool.map(lambda name: self._depot.read(f"v1/{name}"), new)
            for name, content in zip(new, contents, strict=True):
                if content is None:
                    continue
                try:
                    lines = lines_of(_stem(name), content)
                except Wrong as wrong:
                    self._tell(f"the answers {_stem(name)[:12]} {wrong}: they are not used")
                else:
                    self._known.take(name, lines)

    def _stop(self, why: str) -> None:
        with self._lock:
            if self._reading:
                self._reading = self._writing = False
                self._tell(f"{self._depot.name} is not used: {why}; the build goes on here")

    def _stop_writing(self, why: str) -> None:
        with self._lock:
            if self._writing:
                self._writing = False
                self._tell(f"nothing more goes to {self._depot.name}: {why}")

    def _tell(self, text: str) -> None:
        if self._emit:
            self._emit(StepNote(NAME, text))
        else:
            self._notes.append(text)


def _behind(done: int, told: Callable[[int], None]) -> Callable[[int], None]:
    """Tells of one file when so many bytes of others are done already."""
    return lambda now: told(done + now)


def _row_name(key: str) -> str:
    return f"v1/rows/{key[:2]}/{key[2:]}.json"


def _object(sha256: str) -> str:
    return f"v1/objects/{sha256[:2]}/{sha256[2:]}"


def _holding(artifact: Artifact) -> str:
    """This artifact with these very files: the same action may have made others before."""
    tree = {path: sha256 for path, (sha256, _) in artifact.tree.items()}
    return f"{artifact.key}:{digest.of_tree(tree)}"


def _stem(segment: str) -> str:
    return segment.removeprefix("answers/").removesuffix(".jsonl")

"""Take out of a store what nothing names any more.

Rows go first, then the files that no row names: a kill at any moment leaves a store that works,
and at worst some files for the next time. Builds may run meanwhile: what one has decided to make
or to use is noted in the ledger, and is spared there in the same transaction that removes.

It knows nothing of recipes, lock files and servers: the caller says what they name.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from jessy_build import digest
from jessy_build.engine import locks
from jessy_build.engine.ledger import Artifact, Build
from jessy_build.engine.store import Store

FINISHED = ("done", "nothing to do")
ORPHAN_SECONDS = 3600.0
"""A file that no row names may be on its way into the store; one this old is left from a kill."""
BATCH = 500
"""Objects removed at a stretch, while builds that want to add some wait."""

MODELS = "models"
"""Weights that were fetched to be asked lie here, each in a folder of its own with a lock."""

Progress = Callable[[int, int, str], None]
"""Done, of all, and what is being removed."""
Names = Callable[[], set[str]]
"""Asked once more before anything goes: a build may have begun meanwhile."""


@dataclass(frozen=True)
class File:
    path: Path
    bytes: int
    """What the disk gets back."""
    elsewhere: int = 0
    """What it does not, since the content is laid out in a folder outside the store as well."""


@dataclass(frozen=True)
class Garbage:
    artifacts: tuple[Artifact, ...] = ()
    objects: tuple[File, ...] = ()
    views: tuple[Path, ...] = ()
    work: tuple[File, ...] = ()
    models: tuple[File, ...] = ()
    locks: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in (*self.objects, *self.work, *self.models))

    @property
    def elsewhere(self) -> int:
        return sum(file.elsewhere for file in self.objects)

    @property
    def count(self) -> int:
        files = (self.objects, self.work, self.models)
        parts = (self.artifacts, *files, self.views, self.locks, self.notes)
        return sum(map(len, parts))


def kept_builds(store: Store, last: int) -> list[Build]:
    """Of each recipe the last finished builds that differ, what was begun since, and those at
    work."""
    builds = store.ledger.builds()
    alive = store.ledger.decisions.alive(store.root)
    found = {build.id: build for some in _by_recipe(builds).values() for build in _last(some, last)}
    return list({**found, **{build.id: build for build in builds if build.id in alive}}.values())


def kept(store: Store, last: int, named: Iterable[str]) -> set[str]:
    """The keys that stay: those of the builds that are kept, and what the caller names."""
    ledger = store.ledger
    keys = {*named, *ledger.named_keys()}
    for build in kept_builds(store, last):
        keys |= {*build.steps.values(), *ledger.decisions.keys(build.id)}
    return keys


def find(store: Store, keep: set[str], models: Names, now: float) -> Garbage:
    """What would go. Removes nothing. `models` are the folders of weights that stay."""
    every = tuple(store.ledger.artifacts())
    gone = tuple(artifact for artifact in every if artifact.key not in keep)
    stays = tuple(artifact for artifact in every if artifact.key in keep)
    freed = {sha256 for artifact in gone for sha256, _ in artifact.tree.values()}
    found = _files(store, stays, freed, keep, now, gone)
    return replace(found, models=tuple(_unasked(store, models())))


def sweep(store: Store, keep: set[str], models: Names, now: float, progress: Progress) -> Garbage:
    """Remove it. Returns what really went: a build may have come to need some of it."""
    with locks.hold(store.root / "locks" / "gc"):
        _bury(store)
        found = find(store, keep, models, now)
        told = _Told(progress, found.count)
        gone = tuple(a for a in found.artifacts if told(_forget(store, a), "artifacts"))
        freed = {sha256 for artifact in gone for sha256, _ in artifact.tree.values()}
        # Asked again, since rows may have come and been spared meanwhile.
        left = _files(store, tuple(store.ledger.artifacts()), freed, keep, now, gone)
        views = tuple(_drop_views(store, left.views, told))
        objects = tuple(_drop_objects(store, left.objects, told))
        work = tuple(f for f in left.work if told(_drop_work(store, f.path), "work folders"))
        weights = tuple(f for f in found.models if told(_drop_weights(f.path, models), "models"))
        held = tuple(path for path in left.locks if told(_drop_lock(path), "locks"))
        notes = _stale_notes(store)
        store.ledger.forget_files(notes)
        told.end()
    return Garbage(gone, objects, views, work, weights, held, notes)


@dataclass
class _Told:
    progress: Progress
    total: int
    done: int = 0

    def __call__(self, went: bool, what: str) -> bool:
        self.done += 1
        self.progress(min(self.done, self.total), self.total, what)
        return went

    def end(self) -> None:
        self.progress(self.total, self.total, "")


def _by_recipe(builds: Iterable[Build]) -> Mapping[str, list[Build]]:
    found: dict[str, list[Build]] = {}
    for build in builds:
        found.setdefault(build.recipe, []).append(build)
    return found


def _last(builds: list[Build], count: int) -> Iterator[Build]:
    """Newest first. A build that made nothing new counts with the one before it; what was begun
    behind the last finished one is kept too, as often, since the next build goes on from there."""
    results: list[Mapping[str, str]] = []
    begun = 0
    for build in builds:
        if build.status not in FINISHED:
            if not results and begun < count:
                begun += 1
                yield build
        elif build.steps in results:
            continue
        elif len(results) < count:
            results.append(build.steps)
            yield build


def _bury(store: Store) -> None:
    decisions = store.ledger.decisions
    alive = decisions.alive(store.root)
    for build in store.ledger.builds():
        if build.status == "running" and build.id not in alive:
            decisions.bury(build.id)


def _forget(store: Store, artifact: Artifact) -> bool:
    with _claimed(store, artifact.key) as free:
        return free and store.ledger.decisions.forget(artifact.key)


@contextmanager
def _claimed(store: Store, key: str) -> Iterator[bool]:
    """Whether no build is at work on it; the lock goes with what it guarded."""
    path = store.root / "locks" / key
    with locks.hold_if_free(path) as free:
        yield free
        if free:
            path.unlink(missing_ok=True)


@dataclass
class _Links:
    """How many names each file has that are going: with no other name left its space is free."""

    names: dict[int, int] = field(default_factory=dict)

    def add(self, folder: Path) -> None:
        for path in _files_below(folder):
            with suppress(FileNotFoundError):
                inode = path.stat().st_ino
                self.names[inode] = self.names.get(inode, 0) + 1

    def file(self, path: Path) -> File:
        s = path.stat()
        is_last = s.st_nlink <= 1 + self.names.get(s.st_ino, 0)
        return File(path, s.st_size if is_last else 0, 0 if is_last else s.st_size)


def _files(
    store: Store,
    stays: tuple[Artifact, ...],
    freed: set[str],
    keep: set[str],
    now: float,
    gone: tuple[Artifact, ...],
) -> Garbage:
    """What no artifact that stays has a name for."""
    root = store.root
    trees = {store.digest(artifact) for artifact in stays}
    named = {sha256 for artifact in stays for sha256, _ in artifact.tree.values()}
    views = tuple(p for p in _list(root / "views") if p.name not in trees and _is_over(p, now))
    links = _Links()
    for view in views:
        links.add(view)
    objects = []
    for path in (file for folder in _list(root / "objects") for file in _list(folder)):
        sha256 = path.parent.name + path.name
        if sha256 not in named and (sha256 in freed or _is_old(path, now)):
            with suppress(FileNotFoundError):
                objects.append(links.file(path))
    done = {artifact.key for artifact in stays}
    work = [
        File(path, sum(map(_size, _files_below(path))))
        for path in _list(root / "work")
        if path.name not in keep or path.name in done
    ]
    # What a shared store was sending when the build that fetched it was killed.
    work += [File(p, _size(p)) for p in _list(root / "incoming") if _is_old(p, now)]
    held = [*_list(root / "locks"), *_list(root / "running")]
    free = tuple(p for p in held if p.name not in keep and not locks.is_held(p))
    return Garbage(gone, tuple(objects), views, tuple(work), (), free, _stale_notes(store))


def _unasked(store: Store, named: set[str]) -> Iterator[File]:
    """Weights that no build which is kept names."""
    for path in _list(store.root / MODELS):
        if path.name not in named:
            yield File(path, sum(map(_size, _files_below(path))))


def _drop_weights(folder: Path, models: Names) -> bool:
    """Whoever looks for them waits for the lock, and then fetches them; a build that looked before
    had noted which they are."""
    with locks.hold_if_free(folder / "lock") as free:
        return free and folder.name not in models() and _drop(folder)


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.lstat().st_size
    return 0


def _is_over(view: Path, now: float) -> bool:
    """Files beside the views are on their way into one."""
    return not view.name.startswith(".") or _is_old(view, now)


def _is_old(path: Path, now: float) -> bool:
    with suppress(FileNotFoundError):
        # The ctime: a file that was moved here keeps the time of its last change.
        return now - path.stat().st_ctime > ORPHAN_SECONDS
    return False


def _list(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _files_below(path: Path) -> list[Path]:
    """Those that are still there: a build may be working in this folder."""
    if path.is_file():
        return [path]
    return [Path(folder, name) for folder, _, names in os.walk(path) for name in names]


def _drop(path: Path) -> bool:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return not path.exists()


def _drop_views(store: Store, views: tuple[Path, ...], told: _Told) -> Iterator[Path]:
    named = _Named(store, lambda tree: {digest.of_tree(tree)})
    for batch in _batches(views):
        with _nobody_adds(store):
            used = named.now()
            for view in batch:
                if told(view.name not in used and _drop(view), "views"):
                    yield view


def _drop_objects(store: Store, objects: tuple[File, ...], told: _Told) -> Iterator[File]:
    named = _Named(store, lambda tree: set(tree.values()))
    for batch in _batches(objects):
        with _nobody_adds(store):
            used = named.now()
            for file in batch:
                unnamed = file.path.parent.name + file.path.name not in used
                if told(unnamed and _drop(file.path), "objects"):
                    yield file


T = TypeVar("T")


def _batches(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _nobody_adds(store: Store) -> AbstractContextManager[None]:
    """No build is between an object and its row: what has no row now is of no use to any."""
    return locks.hold(store.root / "locks" / "objects")


@dataclass
class _Named:
    """What the rows name, read again only when another process has written."""

    store: Store
    names: Callable[[Mapping[str, str]], set[str]]
    known: set[str] = field(default_factory=set)
    seen: int = -1

    def now(self) -> set[str]:
        if (changes := self.store.ledger.changes()) != self.seen:
            self.seen = changes
            self.known = {n for tree in self.store.ledger.trees() for n in self.names(tree)}
        return self.known


def _drop_work(store: Store, folder: Path) -> bool:
    with _claimed(store, folder.name) as free:
        return free and _drop(folder)


def _drop_lock(path: Path) -> bool:
    with locks.hold_if_free(path) as free:
        return free and _drop(path)


def _stale_notes(store: Store) -> tuple[str, ...]:
    """Notes about files that are no longer there."""
    return tuple(
        name
        for name in store.ledger.noted_files()
        if not (Path(name) if "/" in name else store.object(name)).exists()
    )

"""gc: ask everybody who may name something in the store, then let the engine take the rest out."""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from jessy_build import units
from jessy_build.console import Console
from jessy_build.diagnostics import StepError
from jessy_build.engine import gc
from jessy_build.engine.events import StepFinished, StepProgress, StepStarted
from jessy_build.engine.gc import Garbage, Progress
from jessy_build.engine.ledger import Artifact
from jessy_build.steps.past import Past

ENDING = ".lock.yaml"
KEY = re.compile(rb"^[ \t]*key:[ \t]*[\"']?([0-9a-f]{64})\b", re.MULTILINE)
"""Read line by line, so that a lock which a merge has left in pieces keeps what both sides name."""
PASSED_BY = frozenset((".git", ".venv", "node_modules", "__pycache__"))
SOURCE = re.compile(rb'"source": "([0-9a-f]{64})"')
DAY = 86_400.0
NAME = "gc"
LONG = 2_000
"""Things to remove, from which on a bar is drawn."""


@dataclass(frozen=True)
class Named:
    """What is kept whatever its age, by who names it."""

    locks: Mapping[str, frozenset[str]]
    """Lock file, as seen from its project → keys."""
    models: Mapping[str, frozenset[str]]
    """Tag in Ollama → keys."""
    host: str
    ollama: Literal["answers", "does not answer", "not needed"]

    @property
    def keys(self) -> set[str]:
        return {key for keys in (*self.locks.values(), *self.models.values()) for key in keys}


@dataclass(frozen=True)
class Gone:
    step: str
    key: str
    made_at: float


@dataclass(frozen=True)
class Document:
    format: Literal[1]
    dry_run: bool
    keep_last: int
    recipes: tuple[str, ...]
    locks: tuple[str, ...]
    models: tuple[str, ...]
    ollama: Literal["answers", "does not answer", "not needed"]
    artifacts: tuple[Gone, ...]
    objects: int
    views: int
    work_folders: int
    locks_removed: int
    file_notes: int
    answers: int
    """Only with --answers-older-than: they were paid for."""
    bytes: int
    """That the disk has back."""
    bytes_elsewhere: int
    """That it has not, since the same files are laid out in `builds/` too."""


def collect(
    past: Past,
    last: int,
    progress: Progress,
    *,
    dry_run: bool,
    answers_older_than: float | None = None,
) -> tuple[Document, Named]:
    named = _named(past)
    keep = gc.kept(past.store, last, named.keys)
    now = time.time()
    if answers_older_than is not None and past.alive:
        raise StepError(
            "a build is running, and may be about to use any answer",
            hint="wait for its end (jessy status), or leave --answers-older-than out",
        )
    sweep = partial(gc.sweep, progress=progress)
    found = (gc.find if dry_run else sweep)(past.store, keep, now)
    answers = 0
    if answers_older_than is not None:
        spared = _behind_rows(past, keep)
        before = now - answers_older_than * DAY
        answers = past.store.ledger.answers.forget(before, spared, dry_run=dry_run)
    return _document(past, last, dry_run, found, named, answers), named


def _document(
    past: Past, last: int, dry_run: bool, found: Garbage, named: Named, answers: int
) -> Document:
    return Document(
        format=1,
        dry_run=dry_run,
        keep_last=last,
        recipes=tuple(past.recipes()),
        locks=tuple(named.locks),
        models=tuple(named.models),
        ollama=named.ollama,
        artifacts=tuple(Gone(a.step, a.key, a.made_at) for a in found.artifacts),
        objects=len(found.objects),
        views=len(found.views),
        work_folders=len(found.work),
        locks_removed=len(found.locks),
        file_notes=len(found.notes),
        answers=answers,
        bytes=found.bytes,
        bytes_elsewhere=found.elsewhere,
    )


# Who names what


def _named(past: Past) -> Named:
    ollama, models = _models(past)
    return Named(_locks(past), models, past.settings.ollama_host, ollama)


def _locks(past: Past) -> dict[str, frozenset[str]]:
    """The lock files of every project that has built into this store."""
    projects = dict.fromkeys((past.settings.project, *past.store.ledger.decisions.projects()))
    found = {}
    for project in projects:
        for path in _lock_files(project, past.store.root):
            name = path.relative_to(project).as_posix()
            name = name if project == past.settings.project else str(path)
            found[name] = frozenset(key.decode() for key in KEY.findall(_read(path)))
    return found


def _lock_files(project: Path, store: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(project):
        here = Path(folder)
        below[:] = [name for name in below if name not in PASSED_BY and here / name != store]
        yield from (here / name for name in files if name.endswith(ENDING))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StepError(
            f"{path} cannot be read ({error.strerror}), so nobody knows what it names",
            hint="nothing was removed; make it readable, or remove it",
        ) from None


Answers = Literal["answers", "does not answer", "not needed"]


def _models(past: Past) -> tuple[Answers, dict[str, frozenset[str]]]:
    """What the models need that are live now; where that is not known, the last one of each tag."""
    deployed = [
        artifact
        for artifact in past.store.ledger.artifacts("deploy")
        if artifact.facts.get("target") == "ollama"
    ]
    if not deployed:
        return "not needed", {}
    from jessy_build.packaging import glance

    served = glance.live(past.settings.ollama_host)
    # Nothing is asked of another server than the one that is configured now.
    here = [a for a in deployed if a.facts.get("host") == past.settings.ollama_host]
    others = deployed if served is None else [a for a in deployed if a not in here]
    kept: dict[str, set[str]] = {}
    if served is not None:
        digests = set(served.values())
        for artifact in here:
            if artifact.facts["digest"] in digests:
                kept.setdefault(str(artifact.facts["tag"]), set()).update(_needs(past, artifact))
    seen: set[tuple[str, str]] = set()
    for artifact in others:  # the newest first
        tag = (str(artifact.facts.get("host")), str(artifact.facts["tag"]))
        if tag not in seen:
            seen.add(tag)
            kept.setdefault(tag[1], set()).update(_needs(past, artifact))
    words: Answers = "does not answer" if served is None else "answers"
    return words, {tag: frozenset(keys) for tag, keys in kept.items()}


def _needs(past: Past, artifact: Artifact) -> set[str]:
    """The whole build that made it, else all that it was made from, by content."""
    ledger = past.store.ledger
    for user in ledger.decisions.users(artifact.key):
        if user.outcome == "ran":
            return {artifact.key, *ledger.decisions.keys(user.build)}
    by_digest: dict[str, list[Artifact]] = {}
    for other in ledger.artifacts():
        by_digest.setdefault(past.store.digest(other), []).append(other)
    found, waiting = set[str](), [artifact]
    while waiting:
        one = waiting.pop()
        if one.key not in found:
            found.add(one.key)
            for content in one.preimage["inputs"].values():
                waiting += by_digest.get(content, [])
    return found


def _behind_rows(past: Past, keep: set[str]) -> set[str]:
    """The requests whose answers are rows of what is kept: without them nobody knows whence."""
    found: set[str] = set()
    for artifact in past.store.ledger.artifacts("generate"):
        if artifact.key in keep:
            for sha256, _ in artifact.tree.values():
                path = past.store.object(sha256)
                if path.exists():
                    found |= {source.decode() for source in SOURCE.findall(path.read_bytes())}
    return found


# In words


def bar(console: Console) -> Progress:
    """A bar like a build's, where there is enough to remove to wait for."""
    began = time.monotonic()
    shown = False

    def told(done: int, total: int, text: str) -> None:
        nonlocal shown
        if console.json or total < LONG:
            return
        if not shown:
            shown = True
            console.emit(StepStarted(NAME, NAME))
        console.emit(StepProgress(NAME, done, total, "", text))
        if not text:
            console.emit(StepFinished(NAME, time.monotonic() - began))

    return told


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)


def lines(document: Document, named: Named) -> Iterator[str]:
    yield from _kept(document, named)
    rows = list(_rows(document))
    if not any((document.artifacts, document.objects, document.work_folders, document.answers)):
        yield "Nothing to remove."
        return
    width = max(len(name) for name, _, _ in rows)
    for name, count, more in rows:
        yield f"  {name:{width}}   {count:>5}   {more}".rstrip()
    freed = units.size(document.bytes)
    yield f"Would free {freed} (nothing was removed)" if document.dry_run else f"Freed {freed}"
    if document.bytes_elsewhere:
        yield (
            f"{units.size(document.bytes_elsewhere)} more stay on the disk: the same files are"
            " laid out in builds/"
        )


def _kept(document: Document, named: Named) -> Iterator[str]:
    builds = "build" if document.keep_last == 1 else f"{document.keep_last} builds"
    count = len(document.recipes)
    recipes = "1 recipe" if count == 1 else f"each of {count} recipes"
    yield f"Kept: the last {builds} of {recipes}, and every answer that was paid for"
    for name, keys in named.locks.items():
        yield f"Kept: {len(keys)} steps that {name} names"
    tags = ", ".join(named.models)
    if named.ollama == "answers" and tags:
        yield f"Kept: what {tags} needs, which Ollama at {named.host} serves"
    elif named.ollama == "does not answer" and tags:
        yield (
            f"Kept: what {tags} needs, as it was last deployed: no Ollama answers at"
            f" {named.host}, so what is live is not known"
        )


def _rows(document: Document) -> Iterator[tuple[str, int, str]]:
    steps = Counter(gone.step.partition(":")[0] for gone in document.artifacts)
    by_step = ", ".join(f"{step} {count}" for step, count in sorted(steps.items()))
    for name, count, more in (
        ("results of steps", len(document.artifacts), by_step),
        ("stored files", document.objects, ""),
        ("views", document.views, ""),
        ("work folders", document.work_folders, ""),
        ("locks", document.locks_removed, ""),
        ("notes about files", document.file_notes, ""),
        ("answers", document.answers, "asked again where they are needed"),
    ):
        if count:
            yield name, count, more

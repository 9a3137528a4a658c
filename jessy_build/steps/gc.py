"""gc: ask everybody who may name something in the store, then let the engine take the rest out."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from jessy_build import units
from jessy_build.console import Console
from jessy_build.diagnostics import StepError
from jessy_build.engine import gc
from jessy_build.engine.events import StepFinished, StepProgress, StepStarted
from jessy_build.engine.gc import Garbage, Progress
from jessy_build.steps import naming, score_rows, stored_rows, weights
from jessy_build.steps.naming import Named
from jessy_build.steps.past import Past
from jessy_build.steps.typed import command

HOLDING_ROWS = {
    "generate": {stored_rows.ROWS},
    "validate": {stored_rows.REPLACED, score_rows.FILE},
}
"""Files by the kind of their step: those that say which answer each row was made of."""
SOURCE = re.compile(rb'"(?:source|request)": "([0-9a-f]{64})"')
"""What a row came from, and what a judge was asked about it."""
DAY = 86_400.0
NAME = "gc"
LONG = 2_000
"""Things to remove, from which on a bar is drawn."""


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
    weights: int
    """Models that were fetched for teachers, which no build that is kept names."""
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
    named = naming.everybody(past)
    keep = gc.kept(past.store, last, named.keys)
    now = time.time()
    if answers_older_than is not None and past.alive:
        raise StepError(
            "a build is running, and may be about to use any answer",
            hint=f"wait for its end ({command('status')}), or leave --answers-older-than out",
        )
    sweep = partial(gc.sweep, progress=progress)
    found = (gc.find if dry_run else sweep)(past.store, keep, partial(_asked, past, last), now)
    answers = 0
    if answers_older_than is not None:
        spared = _behind_rows(past, keep)
        before = now - answers_older_than * DAY
        answers = past.store.ledger.answers.forget(before, spared, dry_run=dry_run)
    return _document(past, last, dry_run, found, named, answers), named


def _asked(past: Past, last: int) -> set[str]:
    """The weights that teachers of builds which are kept were fetched as."""
    return {w for build in gc.kept_builds(past.store, last) for w in weights.fetched(build.config)}


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
        weights=len(found.models),
        locks_removed=len(found.locks),
        file_notes=len(found.notes),
        answers=answers,
        bytes=found.bytes,
        bytes_elsewhere=found.elsewhere,
    )


def _behind_rows(past: Past, keep: set[str]) -> set[str]:
    """The requests whose answers are rows of what is kept, or took the place of such rows: without
    them nobody knows whence, and the places would have to be filled anew."""
    found: set[str] = set()
    for kind, files in HOLDING_ROWS.items():
        for artifact in past.store.ledger.artifacts(kind):
            for name in files & artifact.tree.keys() if artifact.key in keep else ():
                path = past.store.object(artifact.tree[name][0])
                if path.exists():
                    with path.open("rb") as lines:
                        found.update(s.decode() for line in lines for s in SOURCE.findall(line))
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
    if not any(
        (
            document.artifacts,
            document.objects,
            document.work_folders,
            document.weights,
            document.answers,
        )
    ):
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
        if keys:
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
        ("models of teachers", document.weights, "fetched again where they are needed"),
        ("locks", document.locks_removed, ""),
        ("notes about files", document.file_notes, ""),
        ("answers", document.answers, "asked again where they are needed"),
    ):
        if count:
            yield name, count, more

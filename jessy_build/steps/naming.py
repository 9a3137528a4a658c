"""Who names results in a store, beside its own builds: lock files of projects, models in Ollama."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Artifact
from jessy_build.steps.past import Past

ENDING = ".lock.yaml"
KEY = re.compile(rb"^[ \t]*key:[ \t]*[\"']?([0-9a-f]{64})\b", re.MULTILINE)
"""Read line by line, so that a lock which a merge has left in pieces keeps what both sides name."""
PASSED_BY = frozenset((".git", ".venv", "node_modules", "__pycache__"))


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


def everybody(past: Past) -> Named:
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

"""What a store remembers of builds, for the commands that only look back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import settings as machine
from jessy_build.diagnostics import StepError, near
from jessy_build.engine.ledger import Build
from jessy_build.engine.store import Store
from jessy_build.settings import Settings

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

RUNNING, KILLED = "running", "killed"
PREVIEWED = "previewed"
"""Of what asked a few items, and was no build."""
SHOWN = 8
"""Names that stand in a hint."""


@dataclass(frozen=True)
class Past:
    settings: Settings
    store: Store
    alive: frozenset[int]
    """The builds at work now."""

    def builds(self, recipe: str | None = None) -> list[Build]:
        """Newest first."""
        return self.store.ledger.builds(recipe)

    def status(self, build: Build) -> str:
        """A build that says it runs, and whose process is gone, was killed."""
        dead = build.status == RUNNING and build.id not in self.alive
        return KILLED if dead else build.status

    def recipes(self) -> list[str]:
        """All that were ever built here, the last one first."""
        return list(dict.fromkeys(build.recipe for build in self.builds()))

    def recipe(self, path: Path, variant: str = "") -> str:
        """What the builds of this recipe are remembered under; StepError where there are none.

        The recipe itself is not read, so one that is broken or gone can be asked about too.
        """
        known = self.recipes()
        try:
            plain = path.resolve().relative_to(self.settings.project).as_posix()
        except ValueError:
            plain = str(path)
        name = f"{plain} {variant}".rstrip()
        if name in known:
            return name
        if variants := [
            other.removeprefix(f"{plain} ")
            for other in known
            if other != plain and other.startswith(f"{plain} ")
        ]:
            raise StepError(
                f"{name} was never built here",
                hint=f"built was, by --variant: {', '.join(variants[:SHOWN])}",
            )
        raise StepError(f"{name} was never built here", hint=others(name, known))


def open_past(near_to: Path, env: Mapping[str, str] | None = None) -> Past:
    """The store of the project that a file lies in, or would lie in. Makes none."""
    settings = machine.load(near_to, env)
    if not (settings.store / "ledger.sqlite").exists():
        raise StepError(
            f"nothing was built here yet: there is no store at {settings.store}",
            hint="build a recipe first, or go to the project's folder",
        )
    store = Store(settings.store)
    return Past(settings, store, frozenset(store.ledger.decisions.alive(store.root)))


def deployed_by(digest: str, store: Store) -> Build | None:
    """The newest build that put a model into an Ollama server, or found it there."""
    for build in store.ledger.builds():
        key = build.steps.get("deploy")
        made = store.find(key) if key else None
        if made is not None and digest and made.facts.get("digest") == digest:
            return build
    return None


def others(name: str, known: Sequence[str]) -> str:
    """A hint at what was built, where something else was asked for."""
    if not known:
        return "nothing was built here yet"
    return near(name, known) or f"built here were: {', '.join(known[:SHOWN])}"


def of(workspace: "Workspace") -> Past:
    """The same store, as a workspace has it open."""
    store = workspace.store
    return Past(workspace.settings, store, frozenset(store.ledger.decisions.alive(store.root)))


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))

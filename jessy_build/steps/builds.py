"""A recipe and its store together: what `plan`, `build`, `status` and `report` all start from."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jessy_build import bases
from jessy_build import settings as machine
from jessy_build.engine.events import BuildFinished, BuildStarted, Event
from jessy_build.engine.files import FileDigests
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Decision, Rebuilder
from jessy_build.engine.schedule import Result, Scheduler
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan, Step
from jessy_build.recipe.load import LoadedRecipe
from jessy_build.settings import Settings
from jessy_build.steps import POOLS, STEPS, plan, publish


@dataclass(frozen=True)
class Workspace:
    loaded: LoadedRecipe
    settings: Settings
    store: Store

    @property
    def id(self) -> str:
        """The recipe's path inside its project: what its last build is remembered under."""
        return self.loaded.path.resolve().relative_to(self.settings.project).as_posix()

    @cached_property
    def plan(self) -> Plan:
        return plan(self.loaded, FileDigests(self.store.ledger))

    @cached_property
    def rebuilder(self) -> Rebuilder:
        return Rebuilder(self.store, self._holds, self.before())

    def before(self) -> dict[str, Artifact]:
        """The artifacts of the last build, as far as the store still has them."""
        latest = self.store.ledger.latest(self.id)
        found = {step: self.store.find(key) for step, (key, _) in latest.items()}
        return {step: artifact for step, artifact in found.items() if artifact is not None}

    def decisions(self) -> dict[str, Decision]:
        return self.rebuilder.plan(self.plan)

    def depends_on(self, result: Result) -> list[Path] | None:
        """Every file and folder that a build with nothing to do rests on; None if not known."""
        recipe, origin = self.loaded.recipe, self.loaded.origin("base.model")
        source = bases.parse(recipe.base.model)
        patterns = [p for t in recipe.teachers.values() if t.kind == "curated" for p in t.files]
        if any("**" in pattern for pattern in patterns):
            return None
        files = {self.loaded.path, *(self.settings.project / name for name in self.loaded.files)}
        if source.kind in ("path", "gguf"):
            local = origin / source.fields["path"]
            files |= {local, *local.rglob("*")} if local.is_dir() else {local}
        # A file that newly matches a pattern changes the times of its folder.
        files |= {path.parent for path in files}
        for artifact in result.made.values():
            files |= {self.store.object(sha256) for sha256, _ in artifact.tree.values()}
        return sorted({*files, *publish.places(self.folder, result.made)})

    @property
    def folder(self) -> Path:
        """Where the finished files of this version are put for people to take."""
        recipe = self.loaded.recipe
        return self.settings.builds / recipe.name / recipe.version

    def _holds(self, step: Step, artifact: Artifact) -> bool:
        return STEPS[step.kind].holds(step, artifact, self.settings)


def open_workspace(loaded: LoadedRecipe, env: Mapping[str, str] | None = None) -> Workspace:
    settings = machine.load(loaded.path, env)
    return Workspace(loaded, settings, Store(settings.store))


def build(workspace: Workspace, emit: Callable[[Event], None], until: str | None = None) -> Result:
    """Run what must run, remember what was made, and lay it out for people."""
    recipe = workspace.loaded.recipe
    steps = workspace.plan.until(until) if until else workspace.plan
    ledger = workspace.store.ledger
    started = time.monotonic()
    build_id = ledger.begin_build(
        workspace.id, recipe.name, recipe.version, recipe.model_dump(mode="json")
    )
    emit(BuildStarted(recipe.name, recipe.version, tuple(step.name for step in steps)))
    scheduler = Scheduler(
        workspace.store, STEPS, workspace.rebuilder, emit, POOLS, workspace.settings, build_id
    )
    result, status = Result(), "interrupted"
    try:
        result = scheduler.run(steps)
        status = "failed" if result.failed else "done" if result.ran else "nothing to do"
        for name, artifact in result.made.items():
            reason = result.reasons.get(name)
            ledger.set_latest(workspace.id, name, artifact.key, [reason.text] if reason else [])
        publish.publish(workspace.folder, workspace.store, result.made)
    finally:
        seconds = time.monotonic() - started
        keys = {name: artifact.key for name, artifact in result.made.items()}
        # A full disk is said already; the row about it may well not fit any more.
        with suppress(OSError):
            ledger.end_build(build_id, status, seconds, keys)
        reused = len(result.made) - len(result.ran)
        emit(BuildFinished(status, seconds, len(result.ran), reused))  # type: ignore[arg-type]
    return result

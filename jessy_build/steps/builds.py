"""A recipe and its store together: what `plan`, `build`, `status` and `report` all start from."""

import posixpath
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import bases
from jessy_build import settings as machine
from jessy_build.diagnostics import RecipeError, StepError, UsageError, near
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Decision, Rebuilder
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan, Step
from jessy_build.recipe.load import LoadedRecipe, load
from jessy_build.recipe.paths import MAGIC
from jessy_build.settings import Settings
from jessy_build.steps import STEPS, plan, pools, rows_ahead, weights

if TYPE_CHECKING:
    from jessy_build.engine.budget import Budget
    from jessy_build.engine.events import Event
    from jessy_build.engine.schedule import Result

CLOCK_NS = 50_000_000
"""The clock of files lags behind the one that is asked for the time by a few milliseconds."""


@dataclass(frozen=True)
class Workspace:
    """A loaded recipe, this machine, and the store."""

    loaded: LoadedRecipe
    settings: Settings
    store: Store

    @property
    def id(self) -> str:
        """The recipe's path inside its project: what its last build is remembered under.

        A build of its matrix, or of a part of its rows, is remembered apart from it.
        """
        path = self.loaded.path.resolve().relative_to(self.settings.project).as_posix()
        return f"{path} {self.loaded.variant}".rstrip()

    @property
    def words(self) -> str:
        """What one types behind a command to mean this build."""
        path = self.loaded.path.resolve().relative_to(self.settings.project).as_posix()
        return shlex.join((path, *self.loaded.options))

    @cached_property
    def plan(self) -> Plan:
        return plan(self.loaded, self.store.ledger)

    @cached_property
    def rows_ahead(self) -> Mapping[int, float]:
        """Rows that it will train on, by their tokens, as far as the recipe tells."""
        return rows_ahead.planned(self.loaded, self.plan)

    @cached_property
    def rebuilder(self) -> Rebuilder:
        return Rebuilder(self.store, self._holds, self.before())

    def before(self) -> dict[str, Artifact]:
        """The artifacts of the last build, as far as the store still has them."""
        latest = self.store.ledger.latest(self.id)
        found = {step: self.store.find(key) for step, (key, _) in latest.items()}
        return {step: artifact for step, artifact in found.items() if artifact is not None}

    def decisions(self, until: str | None = None) -> dict[str, Decision]:
        return self.rebuilder.plan(self.until(until))

    def until(self, step: str | None) -> Plan:
        """The whole plan, or the step and what it needs; UsageError for one that is none."""
        if step is None:
            return self.plan
        names = [known.name for known in self.plan]
        if step not in names:
            hint = near(step, names) or f"steps: {', '.join(names)}"
            raise UsageError(f"there is no step '{step}'", hint=hint)
        return self.plan.until(step)

    def depends_on(self, result: "Result") -> list[Path] | None:
        """Every file and folder that a build with nothing to do rests on; None if not known."""
        from jessy_build.steps import deploy, lock, publish

        recipe = self.loaded.recipe
        patterns = [p for t in recipe.teachers.values() if t.kind == "curated" for p in t.files]
        patterns += [p for block in recipe.dataset.include for p in block.files]
        if any(MAGIC.search(posixpath.dirname(p)) or "**" in p for p in patterns):
            # Of folders only those are watched in which something was found.
            return None
        files = self._read()
        for artifact in result.made.values():
            files |= {self.store.object(sha256) for sha256, _ in artifact.tree.values()}
        if line := deploy.env_line(self.loaded):
            files.add(line.path)
        # A lock that a merge has damaged is mended by the next build.
        laid_out = {*publish.places(self.folder, result.made), lock.path_of(self.loaded.path)}
        return sorted({*files, *laid_out})

    def unchanged_since(self, moment: int) -> bool:
        """Whether all that was read for this build is still so; `moment` is when that began.

        In nanoseconds since the epoch. Where times leave a doubt it is all read once more.
        """
        times = [path.stat() for path in self._read() if path.exists()]
        if all(max(s.st_mtime_ns, s.st_ctime_ns) < moment - CLOCK_NS for s in times):
            return True
        try:
            now = Workspace(load(self.loaded.path), self.settings, self.store).plan
        except (RecipeError, StepError):
            return False
        return [(s.name, s.params) for s in now] == [(s.name, s.params) for s in self.plan]

    def _read(self) -> set[Path]:
        """The user's files that this build read, and the folders they lie in."""
        source = bases.parse(self.loaded.recipe.base.model)
        files = {self.loaded.path, *(self.settings.project / name for name in self.loaded.files)}
        # Of a link both ends: it may be put elsewhere, and what it leads to be edited.
        files |= self.loaded.opened.named | self.loaded.opened.folders
        if source.kind in ("path", "gguf"):
            local = self.loaded.origin("base.model") / source.fields["path"]
            files |= {local, *local.rglob("*")} if local.is_dir() else {local}
        for folder in weights.folders(self.loaded):
            files |= {folder, *folder.rglob("*")}
        # A file that newly matches a pattern changes the times of its folder.
        return files | {path.parent for path in files}

    @property
    def folder(self) -> Path:
        """Where the finished files of this version are put for people to take."""
        recipe = self.loaded.recipe
        return self.settings.builds / recipe.name / recipe.version

    def _holds(self, step: Step, artifact: Artifact) -> bool:
        return STEPS[step.kind].holds(step, artifact, self.settings)


def open_workspace(loaded: LoadedRecipe, env: Mapping[str, str] | None = None) -> Workspace:
    settings = machine.load(loaded.path, env)
    return Workspace(loaded, settings, _store(loaded, settings))


def _store(loaded: LoadedRecipe, settings: Settings) -> Store:
    store = Store(settings.store)
    if address := settings.shared_store or loaded.recipe.store:
        from jessy_build.engine import shared

        origin = Path.cwd() if settings.shared_store else loaded.origin("store")
        shared.join(store, address, origin, offline=settings.offline)
    return store


def build(
    workspace: Workspace,
    emit: "Callable[[Event], None]",
    until: str | None = None,
    *,
    locked: bool = False,
    budget: "Budget | None" = None,
) -> "Result":
    """Run what must run, remember what was made, and lay it out for people.

    `locked` writes the lock file: only for a recipe as it stands in its file, with no overrides.
    """
    from jessy_build.engine import disk
    from jessy_build.engine.events import BuildFinished, BuildStarted, StepNote
    from jessy_build.engine.schedule import Result, Scheduler
    from jessy_build.steps import lock, publish, remember

    recipe = workspace.loaded.recipe
    steps = workspace.until(until)
    ledger = workspace.store.ledger
    started = time.monotonic()
    memory = remember.Memory(workspace)
    emit = memory.watching(emit)
    emit(BuildStarted(recipe.name, recipe.version, tuple(step.name for step in steps)))
    if workspace.store.shared:
        workspace.store.shared.listen(emit)
    scheduler = Scheduler(
        workspace.store,
        STEPS,
        replace(memory.rebuilder(), deliver=publish.wanted(steps)),
        emit,
        pools(recipe),
        workspace.settings,
        memory.build,
        budget,
    )
    result, status = Result(), "interrupted"
    try:
        result = scheduler.run(steps)
        status = "failed" if result.failed else "done" if result.ran else "nothing to do"
        for name, artifact in result.made.items():
            reason = result.reasons.get(name)
            ledger.set_latest(workspace.id, name, artifact.key, [reason.text] if reason else [])
        publish.publish(workspace.folder, workspace.store, result.made)
        if locked and (problem := lock.write(workspace, result.made)):
            emit(StepNote("lock", problem))
        if workspace.store.shared:
            workspace.store.shared.settle(result.made.values())
    except (StepError, OSError):
        # A disk that is full has been told with the step that met it.
        if not (result.failed and disk.is_full(workspace.store.root)):
            status = "failed"
            raise
    finally:
        seconds = time.monotonic() - started
        keys = {name: artifact.key for name, artifact in result.made.items()}
        memory.end(status, seconds, keys)
        reused = len(result.made) - len(result.ran)
        emit(BuildFinished(status, seconds, len(result.ran), reused))  # type: ignore[arg-type]
    return result

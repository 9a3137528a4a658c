"""Run what must run, in parallel where nothing forbids it. Never asks why: the rebuilder knows."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from jessy_build.diagnostics import StepError
from jessy_build.engine import disk
from jessy_build.engine.events import (
    Event,
    StepFailed,
    StepFinished,
    StepNote,
    StepReused,
    StepStarted,
)
from jessy_build.engine.kind import Job, StepKind
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Reason, Rebuilder, Reuse, Run
from jessy_build.engine.store import Damaged, Store
from jessy_build.plan.step import Plan, Step
from jessy_build.settings import Settings

Sink = Callable[[Event], None]


class InputDamaged(Exception):
    """Found only when the input was read whole; its maker has to run again."""

    def __init__(self, maker: str, damage: Damaged) -> None:
        super().__init__(str(damage))
        self.maker = maker


class Inputs(Mapping[str, Path]):
    """A step's inputs as folders, each read whole and proved when it is first asked for."""

    def __init__(self, store: Store, step: Step, made: Mapping[str, Artifact]) -> None:
        self._store = store
        self._step = step
        self._made = made

    def __getitem__(self, name: str) -> Path:
        maker = self._step.needs[name]
        try:
            return self._store.view(self._made[maker])
        except Damaged as damage:
            self._store.forget(self._made[maker])
            raise InputDamaged(maker, damage) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._step.needs)

    def __len__(self) -> int:
        return len(self._step.needs)


Pending = Future[tuple[Artifact, Reason | None]]


@dataclass
class Result:
    made: dict[str, Artifact] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    failed: dict[str, StepError] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """Steps not tried, since something they need failed."""


class Scheduler:
    """One build. A failed step stops its dependents, not its siblings; a cancel stops all."""

    def __init__(
        self,
        store: Store,
        kinds: Mapping[str, StepKind],
        rebuilder: Rebuilder,
        emit: Sink,
        pools: Mapping[str, int],
        settings: Settings,
        build: int = 0,
    ) -> None:
        self.build = build
        self.store = store
        self.settings = settings
        self.kinds = kinds
        self.rebuilder = rebuilder
        self.emit = emit
        self.slots = {name: threading.Semaphore(size) for name, size in pools.items()}
        self.workers = sum(pools.values())
        self.started = time.time()
        self.cancel = threading.Event()

    def run(self, plan: Plan) -> Result:
        result = Result()
        waiting = list(plan)
        running: dict[Pending, Step] = {}
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            try:
                while waiting or running:
                    self._start(waiting, running, pool, result)
                    if not running:
                        continue
                    # A time-out, so that Ctrl-C is heard while a step works.
                    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        try:
                            self._settle(running.pop(future), future, result)
                        except InputDamaged as damaged:
                            self._redo(plan, damaged, waiting, running, result)
            except BaseException:
                self.cancel.set()
                raise
        return result

    def _start(
        self,
        waiting: list[Step],
        running: dict[Pending, Step],
        pool: ThreadPoolExecutor,
        result: Result,
    ) -> None:
        for step in list(waiting):
            lost = result.failed.keys() | set(result.left)
            if lost & set(step.needs.values()):
                waiting.remove(step)
                result.left.append(step.name)
            elif all(need in result.made for need in step.needs.values()):
                waiting.remove(step)
                decision = self.rebuilder.decide(step, result.made)
                if isinstance(decision, Reuse):
                    self._reused(step, decision.artifact, result)
                else:
                    running[pool.submit(self._execute, step, dict(result.made))] = step

    def _redo(
        self,
        plan: Plan,
        damaged: InputDamaged,
        waiting: list[Step],
        running: Mapping[Pending, Step],
        result: Result,
    ) -> None:
        """Put the maker of a damaged input, and all that wait for it, back in the queue."""
        self.emit(StepNote(damaged.maker, f"{damaged}; it is made again"))
        result.made.pop(damaged.maker, None)
        busy = {step.name for step in running.values()} | {step.name for step in waiting}
        settled = busy | result.made.keys() | result.failed.keys() | set(result.left)
        waiting[:] = [step for step in plan if step in waiting or step.name not in settled]

    def _reused(self, step: Step, artifact: Artifact, result: Result) -> None:
        result.made[step.name] = artifact
        self.emit(StepReused(step.name, self.kinds[step.kind].summary(artifact.facts)))

    def _settle(self, step: Step, future: Pending, result: Result) -> None:
        try:
            artifact, reason = future.result()
        except StepError as error:
            result.failed[step.name] = error
            where = f"{step.span.file}:{step.span.line}" if step.span else ""
            self.emit(StepFailed(step.name, error.problem, error.hint, where))
            return
        if reason is None:
            self._reused(step, artifact, result)
            return
        result.made[step.name] = artifact
        result.ran.append(step.name)
        result.reasons[step.name] = reason
        summary = self.kinds[step.kind].summary(artifact.facts)
        self.emit(StepFinished(step.name, artifact.seconds, summary))

    def _execute(self, step: Step, made: Mapping[str, Artifact]) -> tuple[Artifact, Reason | None]:
        """Returns the reason it ran for, or None if another build made the artifact meanwhile."""
        with self.slots[step.pool]:
            if self.cancel.is_set():
                raise KeyboardInterrupt
            decision = self.rebuilder.decide(step, made)
            if isinstance(decision, Reuse):
                return decision.artifact, None
            assert isinstance(decision, Run), f"{step.name} was started before its inputs"
            key = decision.action.key
            with self.store.claim(key):
                decision = self.rebuilder.decide(step, made)
                if isinstance(decision, Reuse):
                    return decision.artifact, None
                assert isinstance(decision, Run)
                return self._make(step, decision, made), decision.reason

    def _make(self, step: Step, decision: Run, made: Mapping[str, Artifact]) -> Artifact:
        self.emit(StepStarted(step.name, step.kind, (decision.reason.text,)))
        started = time.monotonic()
        key = decision.action.key
        try:
            work = self.store.work(key)
            job = Job(
                step=step,
                inputs=Inputs(self.store, step, made),
                made={name: made[need] for name, need in step.needs.items()},
                out=_empty(work / "out"),
                work=work,
                started=self.started,
                build=self.build,
                answers=self.store.ledger.answers,
                settings=self.settings,
                emit=self.emit,
                cancelled=self.cancel.is_set,
            )
            facts = self.kinds[step.kind].run(job)
            artifact = self.store.put(step, decision.action, job.out, facts, started)
        except OSError as error:
            raise disk.refusal(error) from error
        except StepError as error:
            if disk.means_full(error.problem):
                raise disk.no_space() from error
            raise
        self.store.done_with(key)
        return artifact


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder

"""Run what must run, in parallel where nothing forbids it. Never asks why: the rebuilder knows."""

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from jessy_build.diagnostics import StepError
from jessy_build.engine import disk
from jessy_build.engine.budget import Budget
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
from jessy_build.engine.peak import Peak
from jessy_build.engine.pools import Pools
from jessy_build.engine.rebuild import Reason, Rebuilder, Reuse, Run
from jessy_build.engine.store import Damaged, Store
from jessy_build.plan.step import Plan, Step
from jessy_build.settings import Settings

Sink = Callable[[Event], None]

SILENT_SECONDS = 0.5
"""A wait for another build that is over sooner is not worth a word."""
MENDED_AT_MOST = 2
"""Times that one step is made again in one build because its output was found damaged."""


class InputDamaged(Exception):
    """Found only when the input was read whole; its maker has to run again."""

    def __init__(self, maker: str, artifact: Artifact, damage: Damaged) -> None:
        super().__init__(str(damage))
        self.maker = maker
        self.artifact = artifact


class Inputs(Mapping[str, Path]):
    """A step's inputs as folders, each read whole and proved when it is first asked for."""

    def __init__(self, store: Store, step: Step, made: Mapping[str, Artifact]) -> None:
        self._store = store
        self._step = step
        self._made = made
        self._asked: set[str] = set()

    def __getitem__(self, name: str) -> Path:
        maker = self._step.needs[name]
        self._asked.add(maker)
        try:
            return self._store.view(self._made[maker], self._step.name)
        except Damaged as damage:
            raise self._lost(maker, damage) from None

    def prove_again(self) -> None:
        """What was read is still what it was, so the result rests on nothing else."""
        for maker in self._asked:
            try:
                self._store.prove(self._made[maker])
            except Damaged as damage:
                raise self._lost(maker, damage) from None

    def _lost(self, maker: str, damage: Damaged) -> InputDamaged:
        artifact = self._made[maker]
        # Another step may have met the damage first, and a sound one been made since.
        if self._store.find(artifact.key) == artifact:
            self._store.forget(artifact)
        return InputDamaged(maker, artifact, damage)

    def __iter__(self) -> Iterator[str]:
        return iter(self._step.needs)

    def __len__(self) -> int:
        return len(self._step.needs)


@dataclass(frozen=True)
class Done:
    """What a step came to, and what it was made from."""

    artifact: Artifact
    reason: Reason | None
    """None when another build made it while this one waited."""
    used: Mapping[str, Artifact]


Pending = Future[Done]


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
        budget: Budget | None = None,
    ) -> None:
        self.build = build
        self.store = store
        self.settings = settings
        self.kinds = kinds
        self.rebuilder = rebuilder
        self.emit = emit
        self.pools = Pools(pools)
        self.budget = budget or Budget()
        self.started = time.time()
        self.cancel = threading.Event()

    def run(self, plan: Plan) -> Result:
        return _Course(self, plan).run()

    def execute(self, step: Step, made: Mapping[str, Artifact]) -> Done:
        """In the step's pool: wait until no other build makes the same, then make or reuse it."""
        if self.cancel.is_set():
            raise KeyboardInterrupt
        decision = self.rebuilder.decide(step, made)
        if isinstance(decision, Reuse):
            return Done(decision.artifact, None, made)
        assert isinstance(decision, Run), f"{step.name} was started before its inputs"
        key = decision.action.key
        with self.store.claim(key, self._patience(step)):
            decision = self.rebuilder.decide(step, made)
            if isinstance(decision, Reuse):
                return Done(decision.artifact, None, made)
            assert isinstance(decision, Run)
            return Done(self._make(step, decision, made), decision.reason, made)

    def _patience(self, step: Step) -> Callable[[float], None]:
        """Called now and then while another process makes the step, with the seconds so far."""
        told = False

        def wait_on(seconds: float) -> None:
            nonlocal told
            if self.cancel.is_set():
                raise KeyboardInterrupt
            if seconds >= SILENT_SECONDS and not told:
                told = True
                self.emit(StepNote(step.name, f"another build makes {step.name}: waiting"))

        return wait_on

    def _make(self, step: Step, decision: Run, made: Mapping[str, Artifact]) -> Artifact:
        self.emit(StepStarted(step.name, step.kind, (decision.reason.text,)))
        started = time.monotonic()
        key = decision.action.key
        inputs = Inputs(self.store, step, made)
        try:
            work = self.store.work(key)
            job = Job(
                step=step,
                inputs=inputs,
                made={name: made[need] for name, need in step.needs.items()},
                out=_fresh_out(work),
                work=work,
                started=self.started,
                build=self.build,
                answers=self.store.ledger.answers,
                pools=self.pools,
                budget=self.budget,
                settings=self.settings,
                former=partial(self.store.ledger.artifacts, step.kind),
                emit=self.emit,
                cancelled=self.cancel.is_set,
            )
            with Peak() as peak:
                facts = self.kinds[step.kind].run(job)
            inputs.prove_again()
            facts = {"peak_memory": peak.bytes, **facts}
            artifact = self.store.put(step, decision.action, job.out, facts, started)
        except OSError as error:
            raise disk.refusal(error) from error
        except StepError as error:
            raise disk.blamed(error, self.store.root) from error
        self.store.done_with(key)
        return artifact


class _Course:
    """Where one build stands: what waits, what runs, what is made."""

    def __init__(self, scheduler: Scheduler, plan: Plan) -> None:
        self.scheduler = scheduler
        self.emit = scheduler.emit
        self.plan = plan
        self.result = Result()
        self.waiting = list(plan)
        self.running: dict[Pending, Step] = {}
        self.told: set[str] = set()
        """Steps of which it was said that they are done."""
        self.mended: Counter[str] = Counter()

    def run(self) -> Result:
        sizes = self.scheduler.pools.sizes
        with ExitStack() as stack:
            # A pool of threads for each: many that wait for one never keep another one's idle.
            self.threads = {
                name: stack.enter_context(ThreadPoolExecutor(sizes.get(name, 1), name))
                for name in {step.pool for step in self.plan}
            }
            try:
                while self.waiting or self.running:
                    self._start()
                    # A time-out, so that Ctrl-C is heard while a step works.
                    done, _ = wait(self.running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._settle(self.running.pop(future), future)
            except BaseException:
                self.scheduler.cancel.set()
                raise
        return self.result

    def _start(self) -> None:
        for step in list(self.waiting):
            needs = set(step.needs.values())
            if needs & (self.result.failed.keys() | set(self.result.left)):
                self.waiting.remove(step)
                self.result.left.append(step.name)
            elif needs <= self.result.made.keys():
                self.waiting.remove(step)
                decision = self.scheduler.rebuilder.decide(step, self.result.made)
                if isinstance(decision, Reuse):
                    self._reused(step, decision.artifact)
                else:
                    used = {need: self.result.made[need] for need in needs}
                    future = self.threads[step.pool].submit(self.scheduler.execute, step, used)
                    self.running[future] = step

    def _settle(self, step: Step, future: Pending) -> None:
        try:
            done = future.result()
        except InputDamaged as damaged:
            self._mend(damaged)
            self._again(step)
            return
        except StepError as error:
            self._fail(step, error)
            return
        if done.reason is None:
            self._reused(step, done.artifact)
        else:
            self._ran(step, done.artifact, done.reason)
        if not self._still_made(done.used):
            self.result.made.pop(step.name, None)
            self._again(step)

    def _fail(self, step: Step, error: StepError) -> None:
        self.result.failed[step.name] = error
        where = f"{step.span.file}:{step.span.line}" if step.span else ""
        self.emit(StepFailed(step.name, error.problem, error.hint, where))

    def _ran(self, step: Step, artifact: Artifact, reason: Reason) -> None:
        self.result.made[step.name] = artifact
        if step.name not in self.result.ran:
            self.result.ran.append(step.name)
        self.result.reasons[step.name] = reason
        self.told.add(step.name)
        summary = self.scheduler.kinds[step.kind].summary(artifact.facts)
        self.emit(StepFinished(step.name, artifact.seconds, summary))

    def _reused(self, step: Step, artifact: Artifact) -> None:
        self.result.made[step.name] = artifact
        if step.name not in self.told:
            self.told.add(step.name)
            summary = self.scheduler.kinds[step.kind].summary(artifact.facts)
            self.emit(StepReused(step.name, summary))

    def _still_made(self, used: Mapping[str, Artifact]) -> bool:
        """False when an input was found damaged meanwhile, and what took its place differs."""
        made = self.result.made
        return all(name in made and made[name].tree == used[name].tree for name in used)

    def _mend(self, damaged: InputDamaged) -> None:
        """Its maker runs again; all behind it are asked anew, since it may come out otherwise."""
        maker = self.plan[damaged.maker]
        if self.result.made.get(maker.name) != damaged.artifact:
            return  # Another step met the same damage: it is being mended, or is already.
        self.result.made.pop(maker.name)
        self.mended[maker.name] += 1
        if self.mended[maker.name] > MENDED_AT_MOST:
            self._fail(maker, _hopeless(damaged))
        else:
            self.emit(StepNote(maker.name, f"{damaged}; it is made again"))
            self._again(maker)
        for step in self.plan:
            if step.name in self.result.made and not self.result.made.keys() >= set(
                step.needs.values()
            ):
                self.result.made.pop(step.name)
                self._again(step)

    def _again(self, step: Step) -> None:
        self.waiting.append(step)
        order = [planned.name for planned in self.plan]
        self.waiting.sort(key=lambda waiting: order.index(waiting.name))


def _hopeless(damaged: InputDamaged) -> StepError:
    return StepError(
        f"{damaged}, and again after it was made anew",
        hint="something keeps changing the store, or its disk is failing: check both, build again",
    )


def _fresh_out(work: Path) -> Path:
    """A name of its own: a child of a killed build may still be writing into the former one."""
    for former in work.glob("out*"):
        shutil.rmtree(former, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="out.", dir=work))

"""Ask what a preview has chosen, as a build would: its budget, its claims, its ledger.

All categories at once, in one loop. A note of it stands among the builds, since it was paid for.
"""

import time
from collections.abc import Callable, Sequence

from jessy_build.diagnostics import StepError
from jessy_build.engine import disk
from jessy_build.engine.budget import Budget
from jessy_build.engine.events import Event, StepFailed, StepFinished, StepStarted
from jessy_build.engine.kind import Job
from jessy_build.engine.pools import Pools
from jessy_build.plan.step import Step
from jessy_build.steps import generate, past, pools, remember
from jessy_build.steps.builds import Workspace
from jessy_build.steps.preview import Chosen


def ask(
    workspace: Workspace, chosen: Sequence[Chosen], budget: Budget, emit: Callable[[Event], None]
) -> tuple[int, dict[str, StepError]]:
    """How many requests were answered, and what went wrong, by category. What was answered until
    then is kept."""
    import asyncio

    began = time.monotonic()
    memory = remember.Memory(workspace)
    gates = Pools(pools(workspace.loaded.recipe))
    try:
        jobs = [_job(workspace, one, memory.build, gates, budget, emit) for one in chosen]
        problems = asyncio.run(_ask(jobs, chosen))
    finally:
        memory.end(past.PREVIEWED, time.monotonic() - began, {})
    spent = workspace.store.ledger.answers.spent(memory.build)
    return int(sum(entry.measures.get("requests", 0) for entry in spent)), problems


async def _ask(jobs: Sequence[Job], chosen: Sequence[Chosen]) -> dict[str, StepError]:
    import asyncio

    problems = await asyncio.gather(*map(_ask_one, jobs, chosen))
    return {one.category: problem for one, problem in zip(chosen, problems, strict=True) if problem}


async def _ask_one(job: Job, chosen: Chosen) -> StepError | None:
    began = time.monotonic()
    job.emit(StepStarted(job.step.name, job.step.kind, (f"{chosen.asking.rows} items",)))
    try:
        counts = await generate.ask_all(job, chosen.asking)
    except (StepError, OSError) as error:
        problem = error if isinstance(error, StepError) else disk.refusal(error)
        job.emit(StepFailed(job.step.name, problem.problem, problem.hint, ""))
        return problem
    said = f"{counts.asked} asked, {counts.remembered} remembered"
    job.emit(StepFinished(job.step.name, time.monotonic() - began, said))
    return None


def _job(
    workspace: Workspace,
    chosen: Chosen,
    build: int,
    gates: Pools,
    budget: Budget,
    emit: Callable[[Event], None],
) -> Job:
    store = workspace.store
    return Job(
        # What it spends is spent for that step.
        step=Step(f"{generate.name}:{chosen.category}", generate.name, generate.version, {}),
        inputs={},
        made={},
        out=store.root,
        work=store.root,
        started=time.time(),
        build=build,
        answers=store.ledger.answers,
        pools=gates,
        budget=budget,
        settings=workspace.settings,
        former=tuple,
        emit=emit,
        # Ctrl-C ends the loop itself.
        cancelled=lambda: False,
    )

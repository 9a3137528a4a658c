"""What a kind of step must offer. The engine calls these and knows nothing else of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jessy_build.engine.answers import Answers
from jessy_build.engine.budget import Budget
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.pools import Pools
from jessy_build.plan.step import Step
from jessy_build.settings import Settings

if TYPE_CHECKING:
    from jessy_build.engine.events import Event

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """All that a running step may use."""

    step: Step
    inputs: Mapping[str, Path]
    """Folders to read, proved against their digests when first asked for; never write there."""
    made: Mapping[str, Artifact]
    """The artifact behind each input: its files, and what was measured while it was made."""
    out: Path
    """Empty; what lies here when `run` returns becomes the artifact."""
    work: Path
    """Scratch that a rerun of the same action finds again after a kill."""
    started: float
    """When this build began, in seconds since the epoch: what was made before it is cached."""
    build: int
    """The number of this build in the ledger: what is spent is noted under it."""
    answers: Answers
    pools: Pools
    """`async with job.pools.gate(kind):` around each request to a teacher of that kind."""
    budget: Budget
    """All steps of a build share it: what may cost something is set aside there before."""
    settings: Settings
    former: Callable[[], Iterable[Artifact]]
    """What steps of this kind have made before, for whatever recipe; the newest first."""
    emit: "Callable[[Event], None]"
    cancelled: Callable[[], bool]

    def progress(self, done: int, total: int | None = None, unit: str = "", text: str = "") -> None:
        from jessy_build.engine.events import StepProgress

        self.emit(StepProgress(self.step.name, done, total, unit, text))

    def note(self, text: str) -> None:
        """One sentence worth a line of its own."""
        from jessy_build.engine.events import StepNote

        self.emit(StepNote(self.step.name, text))


class StepKind(Protocol):
    # The word in plans, logs and the store.
    name: str
    # Raised by hand when the meaning of the step changes: old artifacts are then not reused.
    version: int

    # Make the artifact. Files go to job.out, measured things into the returned facts.
    # StepError for what the world refuses; KeyboardInterrupt when job.cancelled() was heeded.
    def run(self, job: Job) -> Facts: ...

    # One short line for the terminal and the report, from the facts alone.
    def summary(self, facts: Facts) -> str: ...

    # Effects ask the world here: is what this artifact did still so? Others: always true.
    def holds(self, step: Step, artifact: Artifact, settings: Settings) -> bool: ...


def always(step: Step, artifact: Artifact, settings: Settings) -> bool:
    """For kinds that only make files: what they made needs no asking."""
    return True

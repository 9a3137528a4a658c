"""What a build says while it runs, as data. Steps and the scheduler emit it; `console` shows it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["done", "nothing to do", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class BuildStarted:
    name: str
    version: str
    steps: tuple[str, ...]
    """Every step of the plan in its order, cached ones too."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: str
    kind: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepProgress:
    """`done` of `total` in the step's own `unit`. A `total` of None says that nobody can know it.

    A step may go through several stages: a smaller `done` than before starts the bar again.
    """

    step: str
    done: int
    total: int | None = None
    unit: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class StepNote:
    """One sentence worth a line of its own, such as a fall-back that was taken."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    step: str
    seconds: float
    summary: str = ""


@dataclass(frozen=True, slots=True)
class StepReused:
    step: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: str
    problem: str
    hint: str = ""
    where: str = ""
    """The place in the recipe that declares the step, as `file:line:column`."""


@dataclass(frozen=True, slots=True)
class BuildFinished:
    status: Status
    seconds: float
    ran: int
    reused: int


Event = (
    BuildStarted
    | StepStarted
    | StepProgress
    | StepNote
    | StepFinished
    | StepReused
    | StepFailed
    | BuildFinished
)
Emit = Callable[[Event], None]

NAMES: dict[type[Event], str] = {
    BuildStarted: "build_started",
    StepStarted: "step_started",
    StepProgress: "step_progress",
    StepNote: "step_note",
    StepFinished: "step_finished",
    StepReused: "step_reused",
    StepFailed: "step_failed",
    BuildFinished: "build_finished",
}
"""The names of `--json` lines are a promise to scripts, so they do not follow the class names."""


def to_json(event: Event) -> dict[str, Any]:
    """One `--json` line: "event" first, then the event's own fields. Seconds to the millisecond."""
    fields = asdict(event)
    if "seconds" in fields:
        fields["seconds"] = round(fields["seconds"], 3)
    return {"event": NAMES[type(event)], **fields}

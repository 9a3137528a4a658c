"""When a teacher is asked again: one policy for all, so that none stacks upon another.

A teacher's `ask` tries once, and says with `Passing` that another try may do better. The SDKs do
not retry.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from jessy_build.diagnostics import StepError
from jessy_build.teachers import asking

Fault = Literal["busy", "failed", "lost", "late"]
"""The server turned it away for now; it failed; the connection ended before the answer had come;
the answer did not come in time."""

TRIES: Mapping[Fault, int] = {"busy": 8, "failed": 5, "lost": 5, "late": 2}
"""Of one request. Each late one took the whole `timeout`, and its answer may have been billed."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds; each pause is twice the one before, unless the server names its own."""
LONGEST_WAIT = 120.0
"""Seconds. A server that asks for more is told to the user instead of slept through."""
BUSY = (429, 503, 529)
PASSING = (408, 409)


class Passing(StepError):
    """A fault that another try may not meet. Its words are shown when no try is left."""

    def __init__(self, fault: Fault, problem: str, *, hint: str = "", wait: float = 0.0) -> None:
        super().__init__(problem, hint=hint)
        self.fault: Fault = fault
        self.wait = wait
        """Seconds that the server asks for; 0 where it says nothing."""

    @property
    def may_be_billed(self) -> bool:
        return self.fault in ("lost", "late")


class Patience:
    """How often one request was tried."""

    def __init__(self) -> None:
        self._met: Counter[Fault] = Counter()

    def pause(self, passing: Passing) -> float:
        """Seconds before the next try; raises what was met when there shall be none."""
        self._met[passing.fault] += 1
        if self._met[passing.fault] >= TRIES[passing.fault]:
            raise passing
        return passing.wait or min(FIRST_PAUSE * 2 ** (self._met.total() - 1), LONGEST_PAUSE)


def late(host: str, seconds: float) -> Passing:
    return Passing(
        "late",
        f"{host} gave no answer within {seconds:g} s",
        hint="raise `timeout` of the teacher or of the level, lower `max_tokens`, or build again"
        f" later; {asking.KEPT}",
    )


def fault_of(status: int, headers: Mapping[str, str]) -> Fault | None:
    """None where another try would be told the same."""
    if status in BUSY:
        return "busy"
    said = headers.get("x-should-retry")
    again = status in PASSING or status >= 500 if said is None else said == "true"
    return "failed" if again else None


def refusal(host: str, status: int, headers: Mapping[str, str], told: tuple[str, str]) -> StepError:
    """The error for an answer that is none; `told` are its problem and its hint."""
    wait, fault = asked_wait(headers), fault_of(status, headers)
    if wait > LONGEST_WAIT:
        return StepError(
            f"{host} asks to wait {wait:.0f} s before the next request",
            hint=f"build again after that; {asking.KEPT}",
        )
    problem, hint = told
    return Passing(fault, problem, hint=hint, wait=wait) if fault else StepError(problem, hint=hint)


def asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait before the next try."""
    for name, part in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(float(headers[name]) / part, 0.0)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
        return max((until - datetime.now(UTC)).total_seconds(), 0.0)
    except (KeyError, ValueError, TypeError):
        return 0.0

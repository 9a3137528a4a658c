"""Why a training process died: by its exit code, its last words, and what the system tells."""

import signal
from dataclasses import dataclass
from pathlib import Path

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _launch, _shortage

WORDS = ("memoryerror", "bad_alloc", "insufficient memory", "out of memory", "[malloc")
"""That tell of a want of memory."""
LAST_LINES = 20
"""Of a log: behind the words that tell why, an abort may still print where it was."""
LESS_MEMORY = "lower train.batch_tokens or train.batch_size, or close other programs; "
RESUMES = "the next build goes on from the last checkpoint"


class OutOfMemory(StepError):
    """A process has died for want of memory; `said` is what told of it."""

    def __init__(self, said: str, log: Path) -> None:
        super().__init__(f"training ran out of memory: {said}", hint=LESS_MEMORY + RESUMES, log=log)
        self.said = said


@dataclass(frozen=True, slots=True)
class Before:
    """How things stood when the process began."""

    log: int = 0
    """Bytes in it, of earlier attempts."""
    kills: int | None = None
    """Processes that the kernel had killed for want of memory, as far as it counts them."""


def before(log: Path) -> Before:
    return Before(log.stat().st_size if log.exists() else 0, _shortage.kills())


def cause(code: int, log: Path, before: Before, who: str = "the training process") -> StepError:
    lines = _last_lines(log, before.log)
    if said := _short_of_memory(code, lines, before.kills):
        return OutOfMemory(said, log)
    if code == -signal.SIGKILL:
        return StepError(
            f"{who} was killed from outside; mostly that is the system, short of memory",
            hint=LESS_MEMORY + RESUMES,
            log=log,
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return StepError(
        f"{who} ended {how}{': ' + lines[-1] if lines else ''}",
        hint=f"its log has the rest; {RESUMES}",
        log=log,
    )


def _short_of_memory(code: int, lines: list[str], kills: int | None) -> str:
    """What tells of it; empty where nothing does."""
    if code == -signal.SIGKILL:
        # A person sends it as well, and wants no other try.
        killed = kills is not None and (_shortage.kills() or 0) > kills
        return "the system killed it" if killed else ""
    if code == -signal.SIGSEGV and _shortage.is_refused():
        return "it ended by SIGSEGV, and memory is limited here (ulimit -v, ulimit -d)"
    told = [line for line in lines if any(word in line.lower() for word in WORDS)]
    return told[-1] if told else ""


def _last_lines(log: Path, begin: int) -> list[str]:
    text = log.read_bytes()[begin:].decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if not _launch.NOISE.search(line)]
    return lines[-LAST_LINES:]

"""What a build writes down of its decisions while it runs: read by why, status, history and gc.

The reasons are the rebuilder's own, with the line of the recipe as it was then. Nothing of this
decides anything.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from jessy_build.engine import decisions, events, locks
from jessy_build.engine.decisions import Decided, Outcome
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Decision, Reason, Rebuilder, Reuse, Run
from jessy_build.plan.changes import differences
from jessy_build.plan.step import Step
from jessy_build.steps.told import Edits, in_words

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

MEASURED: Mapping[str, tuple[str, ...]] = {
    "fetch": ("bytes",),
    "convert": ("parameters",),
    "generate": ("rows", "asked", "remembered", "malformed", "teacher"),
    "validate": ("rows", "rejected", "by_rule", "warned", "judged"),
    "assemble": ("train", "valid"),
    "train": ("best", "steps"),
    "select": ("best",),
    "gguf": ("bytes",),
    "evaluate": ("base", "tuned"),
    "score": ("suites",),
    "deploy": ("target", "host", "tag", "digest"),
}
"""Kind of step → the facts that are worth knowing when its artifact has left the store."""


@dataclass(frozen=True)
class Remembering(Rebuilder):
    """Decides as every rebuilder does; each decision is told before anything follows from it."""

    tell: Callable[[Step, Decision, Reason], bool]
    edits: Edits

    def decide(self, step: Step, made: Mapping[str, Artifact]) -> Decision:
        decision = super().decide(step, made)
        if isinstance(decision, Run):
            reason = decision.reason
            words = in_words(reason, self.edits.of(step, reason.changes))
            decision = decision._replace(reason=reason._replace(text=words))
        if not isinstance(decision, Run | Reuse):
            return decision
        is_there = self.tell(step, decision, self._reason(step, decision))
        if isinstance(decision, Reuse) and not is_there:
            # A clean-up took the artifact between the look and the note; now it is noted.
            decision = super().decide(step, made)
            self.tell(step, decision, self._reason(step, decision))
        return decision

    def _reason(self, step: Step, decision: Decision) -> Reason:
        if isinstance(decision, Run):
            return decision.reason
        assert isinstance(decision, Reuse)
        before = self.before.get(step.name)
        if before is None or before.key == decision.artifact.key:
            return Reason("")
        # Not what the last build had, and yet made before: say what led back to it.
        return self._why(step, step.action(decision.artifact.preimage["inputs"]))


class Memory:
    """One build's row in the ledger, and its decisions. Holds a lock as long as the build lives."""

    def __init__(self, workspace: "Workspace") -> None:
        recipe = workspace.loaded.recipe
        self._workspace = workspace
        self._ledger = workspace.store.ledger
        self._said: dict[str, Decided] = {}
        self._edits = Edits(workspace)
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        self._path = decisions.lock_of(workspace.store.root, name)
        self._lock = locks.take(self._path)
        config = recipe.model_dump(mode="json")
        self._ledger.decisions.note_project(workspace.settings.project)
        self.build = self._ledger.begin_build(
            workspace.id, recipe.name, recipe.version, config, name
        )

    def rebuilder(self) -> Remembering:
        plain = self._workspace.rebuilder
        return Remembering(plain.store, plain.holds, plain.before, self._decided, self._edits)

    def watching(self, emit: Callable[[events.Event], None]) -> Callable[[events.Event], None]:
        """The same sink, with the ends of steps written down before they are told."""

        def both(event: events.Event) -> None:
            if isinstance(event, events.StepFinished):
                self._end(event.step, "ran", {})
            elif isinstance(event, events.StepFailed):
                self._end(event.step, "failed", {"problem": event.problem, "hint": event.hint})
            emit(event)

        return both

    def end(self, status: str, seconds: float, keys: Mapping[str, str]) -> None:
        # A full disk is said already; the row about it may well not fit any more.
        with suppress(OSError):
            self._ledger.end_build(self.build, status, seconds, keys)
        with suppress(OSError):
            self._path.unlink()
        self._lock.close()

    def _decided(self, step: Step, decision: Decision, reason: Reason) -> bool:
        before = self._workspace.rebuilder.before.get(step.name)
        said_before = self._said.get(step.name)
        if isinstance(decision, Reuse):
            artifact, preimage = decision.artifact, decision.artifact.preimage
            if said_before and (said_before.key, said_before.outcome) == (artifact.key, "ran"):
                # Asked once more after damage elsewhere: it is this build that made it.
                return self._note(said_before)
            decided = Decided(self.build, step.name, artifact.key, "reused")
            decided = replace(decided, measured=measured(artifact))
        else:
            assert isinstance(decision, Run)
            preimage = decision.action.preimage
            decided = Decided(self.build, step.name, decision.action.key, "started")
        told = self._edits.of(step, reason.changes) if reason.text else ()
        said = {
            "text": reason.text,
            "changes": [asdict(one) for one in told],
            "inputs": _inputs(step, before, preimage["inputs"]),
        }
        decided = replace(decided, reason=said, at=time.time())
        self._said[step.name] = decided
        return self._note(decided)

    def _end(self, step: str, outcome: Outcome, more: Mapping[str, Any]) -> None:
        decided = self._said.get(step)
        if decided is None:
            return
        artifact = self._workspace.store.find(decided.key) if outcome == "ran" else None
        facts = measured(artifact) if artifact else {}
        reason = {**decided.reason, **more}
        self._said[step] = replace(decided, outcome=outcome, reason=reason, measured=facts)
        self._note(self._said[step])

    def _note(self, decided: Decided) -> bool:
        # Without room on the disk the build says so itself; a reason less is no harm.
        with suppress(OSError):
            return self._ledger.decisions.note(decided)
        return True


def measured(artifact: Artifact) -> dict[str, Any]:
    facts = artifact.facts
    kept = {name: facts[name] for name in MEASURED.get(artifact.kind, ()) if name in facts}
    return {**kept, "seconds": artifact.seconds}


def _inputs(step: Step, before: Artifact | None, inputs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Which inputs came out other than in the last build, and which step makes them."""
    if before is None:
        return []
    return [
        {
            "input": change.field,
            "step": step.needs.get(change.field, change.field),
            "old": change.old,
            "new": change.new,
        }
        for change in differences(before.preimage["inputs"], dict(inputs))
    ]

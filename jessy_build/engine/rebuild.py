"""Decide whether a step must run, and say why. Never runs anything.

Plan and executor both ask here, with the same keys, so that a plan cannot lie.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged, Store
from jessy_build.plan.changes import Change, differences
from jessy_build.plan.step import Action, Plan, Step

Holds = Callable[[Step, Artifact], bool]


class Reason(NamedTuple):
    """Why a step runs: a word for it, and what changed where that is known."""

    text: str
    changes: tuple[Change, ...] = ()


class Reuse(NamedTuple):
    """The same action made this before, and it is whole."""

    artifact: Artifact


class Run(NamedTuple):
    """Nothing that is whole was made by this action."""

    action: Action
    reason: Reason


class WillRun(NamedTuple):
    """It runs whatever its inputs turn out to be: nothing was ever made with its parameters."""

    behind: tuple[str, ...]
    reason: Reason


class MayRun(NamedTuple):
    """Not known before the named inputs are made: the step is reused if they come out the same."""

    because: tuple[str, ...]


Decision = Reuse | Run | WillRun | MayRun


@dataclass(frozen=True)
class Rebuilder:
    """Constructive traces: reuse what the same action made, if it is still whole and holds."""

    store: Store
    holds: Holds
    before: Mapping[str, Artifact]
    """The artifacts of this recipe's last build, by step: only to say what changed since."""
    deliver: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Steps whose files must lie here, not only in a shared store. None for a plan."""

    def decide(self, step: Step, made: Mapping[str, Artifact]) -> Decision:
        """`made` holds the artifacts known so far, by step."""
        unknown = tuple(sorted({need for need in step.needs.values() if need not in made}))
        if unknown:
            return self._behind(step, unknown)
        inputs = {name: self.store.digest(made[need]) for name, need in step.needs.items()}
        action = step.action(inputs)
        artifact = self.store.find(action.key)
        if artifact is None:
            lost = self.store.lost.get(action.key)
            return Run(action, Reason(lost) if lost else self._why(step, action))
        try:
            if step.name in self.deliver:
                self.store.bring(artifact, step.name)
            else:
                self.store.glance(artifact)
        except Damaged as damage:
            return Run(action, Reason(str(damage)))
        if not self.holds(step, artifact):
            return Run(action, Reason("the world changed: what it did is no longer so"))
        return Reuse(artifact)

    def plan(self, plan: Plan) -> dict[str, Decision]:
        """Every step's decision before anything runs."""
        made: dict[str, Artifact] = {}
        decisions: dict[str, Decision] = {}
        for step in plan:
            decision = self.decide(step, made)
            if isinstance(decision, Reuse):
                made[step.name] = decision.artifact
            decisions[step.name] = decision
        return decisions

    def _behind(self, step: Step, unknown: tuple[str, ...]) -> WillRun | MayRun:
        # Another one's store may hold what was never made here.
        if self.store.shared or self.store.ledger.has_made(step.kind, step.version, step.params):
            return MayRun(unknown)
        reason = self._own_reason(step) or Reason("never built like this")
        return WillRun(unknown, reason)

    def _own_reason(self, step: Step) -> Reason | None:
        """What speaks for running it that does not lie in its inputs."""
        before = self.before.get(step.name)
        if before is None:
            return Reason("never built")
        old = before.preimage
        if (old["kind"], old["version"]) != (step.kind, step.version):
            return Reason(f"the step's version {old['version']} became {step.version}")
        changes = self._changes(step, before)
        return Reason(_names(changes) + " changed", changes) if changes else None

    def _why(self, step: Step, action: Action) -> Reason:
        if own := self._own_reason(step):
            return own
        inputs = differences(self.before[step.name].preimage["inputs"], dict(action.inputs))
        if inputs:
            # An input is told by the step that makes it, as everywhere else in a plan.
            makers = tuple(replace(c, field=step.needs.get(c.field, c.field)) for c in inputs)
            return Reason(f"the output of {_names(makers)} changed")
        return Reason("its artifact left the store")

    def _changes(self, step: Step, before: Artifact) -> tuple[Change, ...]:
        """In the recipe's own words where both sides have them, else in the step's."""
        params = differences(before.preimage["params"], dict(step.params))
        if params and step.about and before.about:
            return differences(before.about, step.about) or params
        return params


def _names(changes: tuple[Change, ...]) -> str:
    names = [change.field for change in changes]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

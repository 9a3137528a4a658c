"""From a decision back to those that it follows from, along what was stored with each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from jessy_build.engine.decisions import Decided
from jessy_build.engine.ledger import Build
from jessy_build.steps import past as pasts
from jessy_build.steps.past import Past

Place = tuple[int, str]


@dataclass(frozen=True)
class Changed:
    field: str
    old: Any
    new: Any
    where: str
    """The recipe's line as it was then."""


@dataclass(frozen=True)
class Input:
    name: str
    step: str
    """The one that made it."""
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Link:
    """One decision about one step in one build."""

    step: str
    outcome: Literal["ran", "reused", "failed", "running", "interrupted", "killed"]
    build: int
    started: float
    seconds: float | None
    """What the step took, where it ran to its end in this build."""
    reason: str
    """In the rebuilder's words; empty where the last build had the very same."""
    changes: tuple[Changed, ...]
    inputs: tuple[Input, ...]
    """Those that came out otherwise than in the build before."""
    through: tuple[str, ...]
    """Of the steps that made them those that explain the others too."""
    made_by: int | None
    """The build that made what this one found."""
    problem: str
    hint: str


@dataclass(frozen=True)
class Trail:
    past: Past
    _reached: dict[Place, frozenset[str]] = field(default_factory=dict)

    def of(self, decided: Decided) -> list[Link]:
        """Nearest first; what is met on two ways stands once."""
        return [self._link(found) for found in self._walk(decided, set())]

    def _walk(self, decided: Decided, seen: set[Place]) -> Iterator[Decided]:
        if (place := (decided.build, decided.step)) not in seen:
            seen.add(place)
            yield decided
            for cause in self._causes(decided):
                yield from self._walk(cause, seen)

    def _causes(self, decided: Decided) -> list[Decided]:
        """The decisions behind it, without those that lie behind another one of them."""
        if _is_plain(decided):
            made = self._made(decided)
            return [] if made is decided else [made]
        others = self.past.store.ledger.decisions.of_build(decided.build)
        names = dict.fromkeys(came["step"] for came in decided.reason.get("inputs", ()))
        found = [self._made(others[name]) for name in names if name in others]
        behind = [self._reach(cause) for cause in found]
        return [c for n, c in enumerate(found) if not _is_in(c.step, behind, but=n)]

    def _made(self, decided: Decided) -> Decided:
        """Of what was only found there as it was, the decision that made it."""
        if not _is_plain(decided):
            return decided
        return self.past.store.ledger.decisions.maker(decided.key, decided.build) or decided

    def _reach(self, decided: Decided) -> frozenset[str]:
        place = (decided.build, decided.step)
        if place not in self._reached:
            causes = self._causes(decided)
            names = {cause.step for cause in causes}
            self._reached[place] = frozenset(names.union(*map(self._reach, causes)))
        return self._reached[place]

    @cached_property
    def _builds(self) -> dict[int, Build]:
        return {build.id: build for build in self.past.builds()}

    def _link(self, decided: Decided) -> Link:
        reason, build = decided.reason, self._builds[decided.build]
        inputs = [Input(i["input"], i["step"], i["old"], i["new"]) for i in _inputs(decided)]
        changed = {came.step for came in inputs}
        causes = [c.step for c in self._causes(decided) if c.step in changed]
        maker = None
        if decided.outcome == "reused":
            maker = self.past.store.ledger.decisions.maker(decided.key, decided.build)
        return Link(
            step=decided.step,
            outcome=self._outcome(build, decided),
            build=decided.build,
            started=build.started,
            seconds=decided.measured.get("seconds") if decided.outcome == "ran" else None,
            reason=str(reason.get("text", "")),
            changes=tuple(Changed(**changed) for changed in reason.get("changes", ())),
            inputs=tuple(inputs),
            through=tuple(causes or dict.fromkeys(came.step for came in inputs)),
            made_by=maker.build if maker else None,
            problem=str(reason.get("problem", "")),
            hint=str(reason.get("hint", "")),
        )

    def _outcome(self, build: Build, decided: Decided) -> Any:
        if decided.outcome != "started":
            return decided.outcome
        status = self.past.status(build)
        return status if status in (pasts.RUNNING, pasts.KILLED) else "interrupted"


def _is_plain(decided: Decided) -> bool:
    """Found as the build before had left it."""
    changed = decided.reason.get("changes") or decided.reason.get("inputs")
    return decided.outcome == "reused" and not changed


def _inputs(decided: Decided) -> list[dict[str, Any]]:
    return list(decided.reason.get("inputs", ()))


def _is_in(step: str, sets: list[frozenset[str]], but: int) -> bool:
    return any(step in names for number, names in enumerate(sets) if number != but)

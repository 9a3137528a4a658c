"""Step, Action and its key, Plan: the words that plan and executor share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jessy_build import digest
from jessy_build.diagnostics import Span

Json = Any


@dataclass(frozen=True)
class Step:
    """One thing to do. `params` is all that the recipe says about its result, and nothing else.

    `payload` is what the step works on when `params` names it by digest only (curated rows, say).
    `about` is the same as `params` in the recipe's own words, field → value: it is never keyed,
    and says what changed where `params` holds only a digest.
    `needs` maps the name of an input, as the step's code reads it, to the step that makes it.
    """

    name: str
    kind: str
    version: int
    params: Mapping[str, Json]
    needs: Mapping[str, str] = field(default_factory=dict)
    pool: str = "cpu"
    span: Span | None = None
    payload: Any = field(default=None, compare=False, repr=False)
    about: Mapping[str, Json] = field(default_factory=dict, compare=False, repr=False)

    def action(self, inputs: Mapping[str, str]) -> "Action":
        """The action of this step once the digests of its inputs are known."""
        return Action(self.kind, self.version, self.params, inputs)


@dataclass(frozen=True)
class Action:
    """What is keyed: kind, version, parameters, and inputs by the digest of their content.

    Never an ancestor's key, a time, a host or source code: the same inputs give the same key
    whichever way they came about.
    """

    kind: str
    version: int
    params: Mapping[str, Json]
    inputs: Mapping[str, str]

    @property
    def preimage(self) -> dict[str, Json]:
        return {
            "kind": self.kind,
            "version": self.version,
            "params": dict(self.params),
            "inputs": dict(self.inputs),
        }

    @property
    def key(self) -> str:
        return digest.of_value(self.preimage)


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which each stands behind what it needs."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for step in self.steps:
            if step.name in seen:
                raise ValueError(f"two steps are named {step.name}")
            if missing := set(step.needs.values()) - seen:
                raise ValueError(f"{step.name} stands before what it needs: {sorted(missing)}")
            seen.add(step.name)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __getitem__(self, name: str) -> Step:
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def until(self, name: str) -> "Plan":
        """The step and all that it needs, nothing else."""
        wanted = {name}
        for step in reversed(self.steps):
            if step.name in wanted:
                wanted.update(step.needs.values())
        return Plan(tuple(step for step in self.steps if step.name in wanted))

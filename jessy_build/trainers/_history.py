"""What a training remembers besides its arrays, across attempts, and the report made of it."""

from dataclasses import dataclass, field
from typing import Any, Self

from jessy_build.trainers._batches import Packed
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import Best, Point, Validation

LOWEST = "the lowest loss on the validation rows"
LAST = "the last step"
UNSEEN = "the last step; there are no validation rows"


@dataclass(slots=True)
class History:
    curve: list[Point] = field(default_factory=list)
    validation: list[Validation] = field(default_factory=list)
    tokens: int = 0
    supervised: int = 0
    computed: int = 0
    """Tokens and padding."""
    busy: float = 0.0
    """Seconds in training steps."""
    seconds: float = 0.0
    """Seconds of training and validation."""

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        curve = [Point(**point) for point in state["curve"]]
        validation = [Validation(**point) for point in state["validation"]]
        return cls(**{**state, "curve": curve, "validation": validation})

    def count(self, parts: list[Packed]) -> None:
        self.tokens += sum(part.tokens for part in parts)
        self.supervised += sum(part.supervised for part in parts)
        self.computed += sum(part.inputs.size for part in parts)

    @property
    def speed(self) -> float:
        return self.tokens / max(self.busy, 1e-9)

    @property
    def padding(self) -> float:
        return 1 - self.tokens / max(self.computed, 1)

    @property
    def lowest(self) -> Validation | None:
        """The look before the first step does not count: nothing had been learned."""
        return min((v for v in self.validation if v.step), key=lambda v: v.loss, default=None)

    def chosen(self, config: Config, steps: int) -> Best:
        if self.lowest is None:
            return Best(steps, None, UNSEEN)
        if config.keep == "last":
            return Best(steps, self.validation[-1].loss, LAST)
        return Best(self.lowest.step, self.lowest.loss, LOWEST)

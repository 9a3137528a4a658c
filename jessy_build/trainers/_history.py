"""What a training remembers besides its arrays, across attempts, and the report made of it."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from jessy_build.trainers import metrics
from jessy_build.trainers._batches import Packed
from jessy_build.trainers.config import Config, Divergence
from jessy_build.trainers.lora import Best, Kept, PhaseEnd, Point, Validation

LOWEST = "the lowest loss on the validation rows"
LAST = "the last step"
UNSEEN = "the last step; there are no validation rows"


@dataclass(slots=True)
class History:
    curve: list[Point] = field(default_factory=list)
    validation: list[Validation] = field(default_factory=list)
    phases: list[PhaseEnd] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
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
        phases = [PhaseEnd(**phase) for phase in state["phases"]]
        kept = [Kept(**one) for one in state.get("kept", ())]
        lists = {"curve": curve, "validation": validation, "phases": phases, "kept": kept}
        return cls(**{**state, **lists})

    def now(self) -> Self:
        """As it is, whatever comes; a long curve costs next to nothing."""
        return replace(
            self,
            curve=[*self.curve],
            validation=[*self.validation],
            phases=[*self.phases],
            kept=[*self.kept],
        )

    def lines(self) -> str:
        return metrics.text(map(asdict, self.curve), map(asdict, self.validation))

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
    def before(self) -> float:
        """The loss before training: as the first update and the first look saw it."""
        seen = [point.loss for point in self.curve[:1]] + [
            look.loss for look in self.validation[:1]
        ]
        return max(seen, default=0.0)

    def is_lost(self, limits: Divergence) -> bool:
        last = self.curve[-limits.patience :]
        bad = all(point.loss > limits.threshold * self.before for point in last)
        return bad and len(last) == limits.patience

    def lowest(self, begin: int) -> Validation | None:
        """Of the looks after `begin` updates: before the last phase not all had been learned, and
        before the first step nothing."""
        seen = [v for v in self.validation if v.step > begin]
        return min(seen, key=lambda v: v.loss, default=None)

    def in_vain(self, begin: int) -> int:
        """Looks since the lowest loss."""
        lowest = self.lowest(begin)
        return sum(1 for v in self.validation if lowest and v.step > lowest.step)

    def chosen(self, config: Config, steps: int, begin: int) -> Best:
        lowest = self.lowest(begin)
        if lowest is None:
            return Best(steps, None, UNSEEN)
        if config.keep == "last":
            return Best(steps, self.validation[-1].loss, LAST)
        return Best(lowest.step, lowest.loss, LOWEST)

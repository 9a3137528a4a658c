"""Whether two models differ on the same prompts, or only seem to: a paired bootstrap.

The percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter
13, for the mean of the differences: the prompts are drawn again and again, each time both answers
to a prompt together. It speaks of other prompts of that kind, not of another run or machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

SEED = 2026
"""The same two sides always give the same interval."""
DRAWS = 10_000
MOST_DRAWN = 2_000_000
"""Values drawn at most, so that thousands of prompts do not take long."""
LEVEL = 0.95
FEWEST = 6
"""Of fewer pairs all may well lie on one side by chance: of five one time in sixteen."""


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float
    high: float
    pairs: int

    @property
    def shows_a_difference(self) -> bool:
        return not self.low <= 0 <= self.high


def of(differences: Sequence[float]) -> Interval | None:
    """None where the pairs are too few to tell anything."""
    pairs = len(differences)
    if pairs < FEWEST:
        return None
    chance = Random(SEED)
    draws = max(1000, min(DRAWS, MOST_DRAWN // pairs))
    means = sorted(sum(chance.choices(differences, k=pairs)) / pairs for _ in range(draws))
    outside = (1 - LEVEL) / 2
    low = means[int(outside * draws)]
    high = means[min(draws - 1, int((1 - outside) * draws))]
    return Interval(sum(differences) / pairs, low, high, pairs)

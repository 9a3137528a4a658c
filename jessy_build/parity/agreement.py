"""Two programs compute one model: how far apart are they, and do they choose the same words?

One of them answers, greedily; the other is shown that answer and says of each token how likely it
finds it. So one pass tells of every place of an answer, and a near-tie, where two programs may
rightly part ways, ends no comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jessy_build.diagnostics import StepError


@dataclass(frozen=True, slots=True)
class Choice:
    """One token of a greedy answer."""

    token: int
    likeliest: Mapping[int, float]
    """The likeliest tokens at this place, it among them; logarithms of their probabilities. Empty
    where the program does not tell."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the other program makes of the same place."""

    likelihood: Mapping[int, float]
    """Of each of the likeliest tokens of the first."""
    best: int
    """What it would have chosen."""
    best_likelihood: float


@dataclass(frozen=True, slots=True)
class Limit:
    mean: float
    """Nats between both, over the likeliest tokens of all places."""
    choice: float
    """Nats that a token which one of them chose may be behind the other's choice, at any place."""


LIMITS: Mapping[str, Limit] = {
    "f32": Limit(0.1, 0.5),
    "f16": Limit(0.1, 0.5),
    "bf16": Limit(0.1, 0.5),
    "q8_0": Limit(0.3, 1.5),
}
"""By how a GGUF stores the weights. Measured on Gemma 3 270M and SmolLM2: 0.001 to 0.003 for f16
and 0.03 for q8_0; a wrong order, offset or scale moves each token by nats."""


NOISE = 0.02
"""Nats that two programs may be apart, however little a training has changed."""


def limit(kind: str, effect: float) -> Limit:
    """`effect`: nats that the training has changed. Half of it missing is too much, even where
    all of it is little."""
    known = LIMITS[kind]
    return Limit(min(known.mean, max(NOISE, effect / 2)), known.choice)


@dataclass(frozen=True, slots=True)
class Agreement:
    places: int
    mean: float
    """Nats, as in `Limit`."""
    choice: float
    worst: tuple[int, int]
    """Answer and place of `choice`."""

    def within(self, limit: Limit) -> bool:
        # Asked this way round, since a comparison with NaN is false.
        return self.mean <= limit.mean and self.choice <= limit.choice


def seen(choice: Choice, row: Any) -> Seen:
    """`row` holds one number for each token of the vocabulary: a NumPy array."""
    best = int(row.argmax())
    known = {token: float(row[token]) for token in (*choice.likeliest, choice.token)}
    return Seen(known, best, float(row[best]))


def effect(trained: Sequence[Sequence[Seen]], base: Sequence[Sequence[Seen]]) -> float:
    """Nats between two models that were shown the same answers, over their likeliest tokens."""
    changed = [
        abs(number - theirs.likelihood[token])
        for pairs in map(zip, trained, base)
        for ours, theirs in pairs
        for token, number in ours.likelihood.items()
    ]
    return sum(changed) / max(1, len(changed))


def compare(answers: Sequence[Sequence[Choice]], others: Sequence[Sequence[Seen]]) -> Agreement:
    apart: list[float] = []
    behind: dict[tuple[int, int], float] = {}
    for number, pairs in enumerate(map(zip, answers, others)):
        for place, (choice, other) in enumerate(pairs):
            known = other.likelihood
            apart += [abs(said - known[token]) for token, said in choice.likeliest.items()]
            behind[number, place] = other.best_likelihood - known[choice.token]
    if not behind:
        raise StepError("the model answers nothing to its own training's prompts")
    # A NaN is the largest of all: `max` would pass over it.
    worst = max(behind, key=lambda key: (behind[key] != behind[key], behind[key]))
    return Agreement(len(behind), sum(apart) / max(1, len(apart)), behind[worst], worst)

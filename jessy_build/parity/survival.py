"""Is a model that was stored smaller still the one that was trained?

Weights that lie on the grid of a quantisation snap back to it, and an adapter smaller than half a
step is rounded away: such a model answers well, and is its base again. So it is asked what the
training asked, and held against both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEPT = 0.8
"""The least share of what training changed that must be left. Measured: q8_0 keeps 0.99; of a
Gemma 3 270M that came from Q4_K_M, q4_K_M keeps 0.69, and rambles as its base does."""
ALIKE = 2 / 3
"""The least share of answers that must end as the trained model's do."""
FEW = 4
"""Tokens by which two short answers may differ in length and still be alike."""


@dataclass(frozen=True, slots=True)
class Place:
    """One token of the trained model's answer, and how likely two models found it (nats)."""

    before: str
    """The answer up to it."""
    token: str
    trained: float
    base: float


@dataclass(frozen=True, slots=True)
class Said:
    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Probe:
    prompt: str
    """Rendered, as the model sees it."""
    answer: Said
    """The trained model's own, greedy."""
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left of a training."""

    answers: int
    equal: int
    """Answers that are the trained model's, word by word."""
    alike: int
    """That end as its answers do: by themselves or cut off, and about as long."""
    tongue: int | None
    """That are in the language of its answers; None where nobody told languages apart."""
    median_tokens: float
    kept: float | None
    """Share of the change in likelihood; None where the server tells none."""

    @property
    def survived(self) -> bool:
        enough = self.kept is None or self.kept >= KEPT
        return enough and self.alike >= ALIKE * self.answers


def verdict(
    probes: Sequence[Probe],
    said: Sequence[Said],
    likelihood: Sequence[Sequence[float | None]],
    tongues: Sequence[tuple[str, str]] | None = None,
) -> Verdict:
    """`likelihood` holds one number for each place of each probe, None where none is known;
    `tongues` the language of the trained model's answer and of this one."""
    from statistics import median

    pairs = [(probe.answer, one) for probe, one in zip(probes, said, strict=True)]
    return Verdict(
        answers=len(pairs),
        equal=sum(a.text.strip() == b.text.strip() for a, b in pairs),
        alike=sum(_alike(a, b) for a, b in pairs),
        tongue=None if tongues is None else sum(a == b for a, b in tongues),
        median_tokens=median(one.tokens for one in said),
        kept=_kept(probes, likelihood),
    )


def _alike(trained: Said, other: Said) -> bool:
    if trained.stopped != other.stopped:
        return False
    less, more = sorted((trained.tokens, other.tokens))
    return more <= max(2 * less, less + FEW)


def _kept(probes: Sequence[Probe], likelihood: Sequence[Sequence[float | None]]) -> float | None:
    """1: as far from the base as the trained model. 0: as far from that as the base."""
    lost = change = 0.0
    for probe, row in zip(probes, likelihood, strict=True):
        for place, now in zip(probe.places, row, strict=True):
            if now is not None:
                lost += abs(now - place.trained)
                change += abs(place.base - place.trained)
    return 1 - lost / change if change else None


def read(rows: Sequence[Mapping[str, Any]]) -> tuple[Probe, ...]:
    return tuple(
        Probe(
            row["prompt"],
            Said(**row["answer"]),
            tuple(Place(**place) for place in row["places"]),
        )
        for row in rows
    )

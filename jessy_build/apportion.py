"""Split a whole number of rows by weights, exact in sum. The order of the names never matters."""

from collections.abc import Mapping
from fractions import Fraction

FINEST = 10**9
"""Weights are read as fractions with at most this denominator, so that 0.1 is a tenth."""


def shares(weights: Mapping[str, float]) -> dict[str, Fraction]:
    """Each weight's exact part of the whole. Weights need not sum to one."""
    parts = {name: Fraction(weight).limit_denominator(FINEST) for name, weight in weights.items()}
    whole = sum(parts.values())
    if whole <= 0:
        raise ValueError("the weights sum to nothing")
    return {name: part / whole for name, part in parts.items()}


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole rows by the largest remainder (Hamilton's method): nobody is off by a whole row.

    Equal remainders go to the name that comes first in the alphabet. The method has a known flaw,
    the Alabama paradox: of three names and more, one may lose a row when the total grows.
    """
    exact = {name: total * share for name, share in shares(weights).items()}
    counts = {name: int(rows) for name, rows in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts

"""Cross entropy over a large vocabulary by numpy, a stretch of the vocabulary at a time.

No array is as large as all logits, every thread reads its own stretches of the matrix, and the
gradient comes along with the loss. fp32.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

CELLS = 1 << 21
"""Logits computed at a time by one thread: 8 MB."""
LEAST, MOST = 1024, 16384
"""Words in a stretch. Few make small products, many leave a thread without work at the end."""


@dataclass(slots=True)
class Sums:
    """What is known about the rows after some stretches: softmax in one pass."""

    top: Any
    """The largest logit of each row so far."""
    total: Any
    """Σ exp(logit - top)."""
    pull: Any
    """Σ exp(logit - top) · word vector, one vector a row; None where no gradient is wanted."""


def entropy(
    hidden: Any,
    matrix: Any,
    targets: Any,
    weights: Any,
    gradient: bool,
    threads: Sequence[Executor],
) -> tuple[Any, Any]:
    """Weighted cross entropy of each row of `hidden @ matrix.T`, and the gradient for `hidden`."""
    import numpy as np

    share = -(-len(matrix) // max(len(threads), 1))
    shares = [slice(at, at + share) for at in range(0, len(matrix), share)]
    work: Callable[[slice], Sums] = lambda here: _stretches(  # noqa: E731
        hidden, matrix[here], gradient
    )
    if len(threads) > 1:
        waiting = [thread.submit(work, here) for thread, here in zip(threads, shares, strict=False)]
        parts = [one.result() for one in waiting]
    else:
        parts = [work(slice(None))]
    sums = parts[0]
    for other in parts[1:]:
        _merge(sums, other)
    right = matrix[targets]
    loss = (np.log(sums.total) + sums.top - np.einsum("nd,nd->n", hidden, right)) * weights
    if not gradient:
        return loss, np.zeros_like(hidden)
    slope = sums.pull
    slope /= sums.total[:, None]
    slope -= right
    slope *= weights[:, None]
    return loss, slope


def _stretches(hidden: Any, matrix: Any, gradient: bool) -> Sums:
    import numpy as np

    rows = len(hidden)
    step = min(max(CELLS // max(rows, 1), LEAST), MOST)
    room: Any = np.empty((rows, min(step, len(matrix))), np.float32)
    sums = Sums(
        np.full(rows, -np.inf, np.float32),
        np.zeros(rows, np.float32),
        np.zeros_like(hidden) if gradient else None,
    )
    for at in range(0, len(matrix), step):
        words = matrix[at : at + step]
        logits = room[:, : len(words)]
        if len(words) < room.shape[1]:
            logits = np.empty((rows, len(words)), np.float32)
        np.matmul(hidden, words.T, out=logits)
        top = logits.max(axis=1)
        logits -= top[:, None]
        np.exp(logits, out=logits)
        _merge(sums, Sums(top, logits.sum(axis=1), logits @ words if gradient else None))
    return sums


def _merge(sums: Sums, other: Sums) -> None:
    import numpy as np

    top = np.maximum(sums.top, other.top)
    ours, others = np.exp(sums.top - top), np.exp(other.top - top)
    sums.top = top
    sums.total = sums.total * ours + other.total * others
    if sums.pull is not None:
        sums.pull *= ours[:, None]
        other.pull *= others[:, None]
        sums.pull += other.pull

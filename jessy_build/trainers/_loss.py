"""The training loss where an answer stands, and nowhere else: no logits for prompts or pads.

On a CPU, MLX computes exponentials one by one; there numpy takes over the part that is as wide as
the vocabulary, a block of rows at a time, loss and gradient in one go.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from jessy_build.trainers._batches import Packed

ROWS = 128
"""Rows in a block: 128 rows of a vocabulary of 262,144 take 134 MB."""
CLOSE = 1e-3


@dataclass(frozen=True, slots=True)
class Head:
    """A model cut in two: `body(tokens)` gives hidden states, `project(hidden)` logits."""

    body: Callable[[Any], Any]
    project: Callable[[Any], Any]
    weight: Any
    """The matrix of `project` when that is a plain product with it, else None."""


def cut(model: Any) -> Head | None:
    """None for a model that does more between its body and its logits than one product."""
    import mlx.core as mx
    import mlx.nn as nn

    body = getattr(model, "model", None)
    if body is None or not hasattr(body, "embed_tokens"):
        return None
    own = getattr(model, "lm_head", None)
    project = own if own is not None else body.embed_tokens.as_linear
    layer = own if own is not None else body.embed_tokens
    plain = type(layer) in (nn.Linear, nn.Embedding) and "bias" not in layer
    # Asked, not assumed: some families scale or cap their logits.
    tokens = mx.array([[1, 2, 3]])
    try:
        mine, real = project(body(tokens)), model(tokens)
    except (TypeError, ValueError):
        return None
    if mine.shape != real.shape or not mx.allclose(mine, real, rtol=CLOSE, atol=CLOSE).item():
        return None
    return Head(body, project, layer.weight if plain else None)


@dataclass(frozen=True, slots=True)
class Loss:
    """Both take the model and `arrays`, and give the weighted sum and the number of tokens."""

    training: Callable[..., Any]
    asking: Callable[..., Any]
    """The same number without a gradient."""


def choose(head: Head | None, cpu: bool) -> Loss:
    if head is None:
        return Loss(_whole, _whole)
    if cpu and head.weight is not None:
        return Loss(partial(_blocks, head, True), partial(_blocks, head, False))
    return Loss(partial(_plain, head), partial(_plain, head))


def arrays(packed: Packed) -> tuple[Any, Any, Any, Any, Any]:
    import mlx.core as mx

    return (
        mx.array(packed.inputs),
        mx.array(packed.places),
        mx.array(packed.targets),
        mx.array(packed.weights),
        mx.array(packed.supervised),
    )


def _whole(model: Any, inputs: Any, places: Any, targets: Any, weights: Any, count: Any) -> Any:
    """For a model that cannot be cut: logits everywhere, then those that count."""
    logits = model(inputs)
    chosen = logits.reshape(-1, logits.shape[-1])[places]
    return _weighted(chosen, targets, weights), count


def _plain(
    head: Head, _: Any, inputs: Any, places: Any, targets: Any, weights: Any, count: Any
) -> Any:
    return _weighted(head.project(_hidden(head, inputs, places)), targets, weights), count


def _blocks(
    head: Head,
    gradient: bool,
    _: Any,
    inputs: Any,
    places: Any,
    targets: Any,
    weights: Any,
    count: Any,
) -> Any:
    hidden = _hidden(head, inputs, places)
    return in_blocks(hidden, head.weight, targets, weights, gradient), count


def _hidden(head: Head, inputs: Any, places: Any) -> Any:
    hidden = head.body(inputs)
    return hidden.reshape(-1, hidden.shape[-1])[places]


def _weighted(logits: Any, targets: Any, weights: Any) -> Any:
    import mlx.core as mx
    import mlx.nn as nn

    each = nn.losses.cross_entropy(logits.astype(mx.float32), targets)
    return (each * weights).sum()


def in_blocks(hidden: Any, matrix: Any, targets: Any, weights: Any, gradient: bool) -> Any:
    """Weighted cross entropy of `hidden @ matrix.T`, as one number. fp32, on the CPU."""
    import mlx.core as mx
    import numpy as np

    wide, wanted, weighing = np.asarray(matrix), np.asarray(targets), np.asarray(weights)

    @mx.custom_function  # type: ignore[untyped-decorator]
    def forward(hidden: Any) -> tuple[Any, Any]:
        loss, slope = _entropy(np.asarray(hidden), wide, wanted, weighing, gradient)
        return mx.array(loss, mx.float32), mx.array(slope)

    @forward.vjp  # type: ignore[untyped-decorator]
    def backward(primals: Any, cotangents: Any, outputs: Any) -> Any:
        # The gradient came with the loss; what stands behind the loss only scales it.
        return cotangents[0] * outputs[1]

    return forward(hidden)[0]


def _entropy(
    hidden: Any, matrix: Any, targets: Any, weights: Any, gradient: bool
) -> tuple[float, Any]:
    import numpy as np

    slope = np.zeros_like(hidden)
    loss = 0.0
    room = np.empty((min(ROWS, len(hidden)), len(matrix)), np.float32)
    for at in range(0, len(hidden), ROWS):
        here = slice(at, at + ROWS)
        rows = hidden[here]
        logits = np.matmul(rows, matrix.T, out=room[: len(rows)])
        each = np.arange(len(rows)), targets[here]
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[each]
        np.exp(logits, out=logits)
        total = logits.sum(axis=1)
        loss += float(((np.log(total) - right) * weights[here]).sum())
        if gradient:
            logits *= (weights[here] / total)[:, None]
            logits[each] -= weights[here]
            np.matmul(logits, matrix, out=slope[here])
    return loss, slope

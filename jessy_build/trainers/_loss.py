"""The training loss where an answer stands, and nowhere else: no logits for prompts or pads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

CLOSE = 1e-3

Part = tuple[Any, Any, Any, Any]
"""inputs, places, targets, weights: see `_batches.Packed`."""


@dataclass(frozen=True, slots=True)
class Head:
    """A model cut in two: `body` makes tokens hidden states, `project` makes those logits."""

    body: Callable[[Any, Any], Any]
    project: Callable[[Any, Any], Any]
    matrix: Any
    """The matrix of `project` when that is a plain product with it, else None."""


def cut(model: Any) -> Head | None:
    """None for a model that does more between its body and its logits than one layer."""
    import mlx.core as mx
    import mlx.nn as nn

    inner: Any = getattr(model, "model", None)
    if not hasattr(inner, "embed_tokens"):
        return None
    tied = getattr(model, "lm_head", None) is None
    head = Head(_body, _tied if tied else _own, None)
    # Asked, not assumed: some families scale or cap their logits.
    tokens = mx.array([[1, 2, 3]])
    try:
        mine, real = head.project(model, head.body(model, tokens)), model(tokens)
    except (TypeError, ValueError):
        return None
    if mine.shape != real.shape or not mx.allclose(mine, real, rtol=CLOSE, atol=CLOSE).item():
        return None
    layer = inner.embed_tokens if tied else model.lm_head
    plain = type(layer) in (nn.Linear, nn.Embedding) and "bias" not in layer
    return Head(head.body, head.project, layer.weight if plain else None)


def _body(model: Any, tokens: Any) -> Any:
    return model.model(tokens)


def _tied(model: Any, hidden: Any) -> Any:
    return model.model.embed_tokens.as_linear(hidden)


def _own(model: Any, hidden: Any) -> Any:
    return model.lm_head(hidden)


def hidden(head: Head, model: Any, inputs: Any, places: Any) -> Any:
    states = head.body(model, inputs)
    return states.reshape(-1, states.shape[-1])[places]


def plain(head: Head | None, model: Any, part: Part) -> Any:
    """The weighted sum as MLX computes it."""
    import mlx.core as mx
    import mlx.nn as nn

    inputs, places, targets, weights = part
    if head is None:
        logits = model(inputs)
        logits = logits.reshape(-1, logits.shape[-1])[places]
    else:
        logits = head.project(model, hidden(head, model, inputs, places))
    each = nn.losses.cross_entropy(logits.astype(mx.float32), targets)
    return (each * weights).sum()


def alone(head: Head | None, model: Any, parts: Sequence[Part], count: Any) -> tuple[Any, Any]:
    """What mlx-lm's loop asks of a loss; on a GPU a batch has one part."""
    return sum(plain(head, model, part) for part in parts), count

"""AdamW with a schedule that counts optimizer updates, and gradients cut to a length."""

import math
from collections.abc import Callable
from typing import Any

from jessy_build.trainers.config import Optimizer


def rate(config: Optimizer, updates: int) -> Callable[[Any], Any]:
    """The learning rate of the update after `step` earlier ones. None of them is wasted on zero."""
    import mlx.core as mx

    warm = min(config.warmup_steps, updates)
    rest = max(updates - warm, 1)

    def at(step: Any) -> Any:
        climbing = (step + 1) / (warm + 1)
        gone = mx.clip((step - warm) / rest, 0.0, 1.0)
        return config.learning_rate * mx.where(step < warm, climbing, _left(config, gone))

    return at


def _left(config: Optimizer, gone: Any) -> Any:
    import mlx.core as mx

    match config.schedule:
        case "cosine":
            return 0.5 * (1.0 + mx.cos(math.pi * gone))
        case "linear":
            return 1.0 - gone
        case "constant":
            return mx.ones_like(gone)


def make(config: Optimizer, updates: int) -> Any:
    from mlx.optimizers import AdamW, clip_grad_norm

    class ClippedAdamW(AdamW):  # type: ignore[misc]
        def update(self, model: Any, gradients: Any) -> None:
            if config.max_grad_norm:
                gradients, _ = clip_grad_norm(gradients, config.max_grad_norm)
            super().update(model, gradients)

    return ClippedAdamW(
        rate(config, updates), weight_decay=config.weight_decay, bias_correction=True
    )

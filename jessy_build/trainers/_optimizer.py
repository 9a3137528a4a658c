"""AdamW with a schedule that counts optimizer updates, and gradients cut to a length."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jessy_build.trainers._course import Stretch
from jessy_build.trainers.config import Optimizer


def rate(config: Optimizer, stretches: Sequence[Stretch]) -> Callable[[Any], Any]:
    """The learning rate of the update after `step` earlier ones."""
    import mlx.core as mx

    def at(step: Any) -> Any:
        found = _within(config, stretches[0], step)
        for stretch in stretches[1:]:
            later = _within(config, stretch, step - stretch.begin)
            found = mx.where(step < stretch.begin, found, later)
        return found

    return at


def _within(config: Optimizer, stretch: Stretch, step: Any) -> Any:
    """Of one stretch. None of its updates is wasted on zero."""
    import mlx.core as mx

    warm = min(config.warmup_steps, stretch.updates)
    rest = max(stretch.updates - warm, 1)
    climbing = (step + 1) / (warm + 1)
    gone = mx.clip((step - warm) / rest, 0.0, 1.0)
    return stretch.rate * mx.where(step < warm, climbing, _left(config, gone))


def _left(config: Optimizer, gone: Any) -> Any:
    import mlx.core as mx

    match config.schedule:
        case "cosine":
            return 0.5 * (1.0 + mx.cos(math.pi * gone))
        case "linear":
            return 1.0 - gone
        case "constant":
            return mx.ones_like(gone)


def make(config: Optimizer, stretches: Sequence[Stretch]) -> Any:
    from mlx.optimizers import AdamW, clip_grad_norm

    class ClippedAdamW(AdamW):  # type: ignore[misc]
        def update(self, model: Any, gradients: Any) -> None:
            if config.max_grad_norm:
                gradients, _ = clip_grad_norm(gradients, config.max_grad_norm)
            super().update(model, gradients)

    return ClippedAdamW(
        rate(config, stretches),
        weight_decay=config.weight_decay,
        bias_correction=config.bias_correction,
    )

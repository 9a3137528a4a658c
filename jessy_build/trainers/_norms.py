"""Root-mean-square norms by numpy on a CPU: two passes forward and few back, nothing kept between.

Only for weights that stay as they are; the gradient goes to the input alone.
"""

from collections.abc import Callable
from typing import Any

from jessy_build.trainers._gradient import with_gradient

CLOSE = 1e-4


def quicken(model: Any) -> int:
    """Teach the norms whose formula is known; returns how many."""
    done = 0
    for _, module in model.named_modules():
        if set(module) != {"weight"} or not hasattr(module, "eps") or module.weight.ndim != 1:
            continue
        if module.trainable_parameters():
            continue
        factor = _factor(module)
        if factor is not None:
            module.__class__ = type("Quick", (type(module),), {"__call__": _call_of(factor)})
            done += 1
    return done


def _factor(module: Any) -> Any:
    """What the normed input is multiplied by. Some families keep it less one."""
    import mlx.core as mx

    some = mx.random.normal((2, module.weight.size), key=mx.random.key(0))
    real = module(some)
    for factor in (module.weight, 1.0 + module.weight):
        if mx.allclose(_call_of(factor)(module, some), real, rtol=CLOSE, atol=CLOSE).item():
            return factor
    return None


def _call_of(factor: Any) -> Callable[[Any, Any], Any]:
    import numpy as np

    weight = np.array(factor)

    def call(module: Any, x: Any) -> Any:
        return norm(x, weight, module.eps)

    return call


def norm(x: Any, weight: Any, eps: float) -> Any:
    """x / √(mean x² + eps) · weight, over the last axis, with its own gradient. fp32."""
    import mlx.core as mx
    import numpy as np

    wide = len(weight)

    def rows(array: Any) -> Any:
        return np.asarray(array).reshape(-1, wide)

    def length(ours: Any) -> Any:
        return 1 / np.sqrt(np.einsum("nd,nd->n", ours, ours) / wide + np.float32(eps))

    def forward(x: Any) -> Any:
        mx.eval(x)
        ours = rows(x)
        out = ours * length(ours)[:, None]
        out *= weight
        return mx.array(out.reshape(x.shape))

    def backward(x: Any, cotangent: Any, _: Any) -> Any:
        mx.eval(x, cotangent)
        ours = rows(x)
        shrink = length(ours)
        told = rows(cotangent) * weight
        along = np.einsum("nd,nd->n", told, ours) * shrink * shrink / wide
        told -= ours * along[:, None]
        told *= shrink[:, None]
        return mx.array(told.reshape(x.shape))

    return with_gradient(forward, backward)(x)

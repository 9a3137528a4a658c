"""LoRA layers with their own gradient on a CPU: sums inside the products, and no copies kept.

mlx-lm's layer holds four results as wide as its output until the way back; this one holds one.
"""

from typing import Any

from jessy_build.trainers._gradient import with_gradient


def quicken(model: Any) -> int:
    """Teach the plain LoRA layers; returns how many. Dropout or a bias leaves a layer as it is."""
    import mlx.nn as nn
    from mlx_lm.tuner.lora import LoRALinear

    class Quick(LoRALinear):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            return low_rank(x, self.linear.weight, self.lora_a, self.lora_b, self.scale)

    done = 0
    for _, module in model.named_modules():
        if type(module) is not LoRALinear or type(module.linear) is not nn.Linear:
            continue
        if "bias" in module.linear or module.dropout._p_1 < 1:
            continue
        module.__class__ = Quick
        done += 1
    return done


def low_rank(x: Any, weight: Any, a: Any, b: Any, scale: float) -> Any:
    """x · weightᵀ + scale · x · a · b. The weight is frozen."""
    import mlx.core as mx

    def forward(x: Any, a: Any, b: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        out = mx.addmm(rows @ weight.T, (rows @ a) * scale, b)
        return out.reshape(*x.shape[:-1], -1)

    def backward(primals: Any, cotangent: Any, _: Any) -> Any:
        x, a, b = primals
        rows, told = x.reshape(-1, x.shape[-1]), cotangent.reshape(-1, cotangent.shape[-1])
        low = (told @ b.T) * scale
        to_x = mx.addmm(told @ weight, low, a.T)
        return to_x.reshape(x.shape), rows.T @ low, ((rows @ a) * scale).T @ told

    return with_gradient(forward, backward)(x, a, b)

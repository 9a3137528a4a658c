"""Projections with their own gradient on a CPU: sums inside the products, and no copies kept.

mlx-lm's layers hold four results as wide as their output until the way back, and DoRA's a matrix as
large as the weight; these hold one. Packed weights are unpacked for each product and forgotten: a
product of packed ones is no fast one on a CPU.
"""

from typing import Any

from jessy_build.trainers._gradient import at_once, with_gradient


def quicken(model: Any) -> int:
    """Teach the layers that learn, and packed ones; returns how many. One that learns with dropout
    or a bias stays as it is."""
    import mlx.nn as nn
    from mlx_lm.tuner.dora import DoRALinear
    from mlx_lm.tuner.lora import LoRALinear

    class Quick(LoRALinear):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            return low_rank(x, self.linear, self.lora_a, self.lora_b, self.scale)

    class Unpacked(nn.QuantizedLinear):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            out = product(x, self)
            return out + self.bias if "bias" in self else out

    done = 0
    for _, module in model.named_modules():
        if type(module) is nn.QuantizedLinear:
            module.__class__ = Unpacked
        elif type(module) is LoRALinear and _plain(module):
            module.__class__ = Quick
        elif type(module) is DoRALinear and _plain(module):
            quick = _turning(_squares(module.linear))
            module.__class__ = type("Quick", (DoRALinear,), {"__call__": quick})
        else:
            continue
        done += 1
    return done


def _plain(module: Any) -> bool:
    import mlx.nn as nn

    known = isinstance(module.linear, (nn.Linear, nn.QuantizedLinear))
    return known and "bias" not in module.linear and module.dropout._p_1 == 1


def _whole(linear: Any) -> Any:
    """Its weight as numbers."""
    import mlx.core as mx

    if not hasattr(linear, "bits"):
        return linear.weight
    packed = linear.weight, linear.scales, linear.get("biases")
    return mx.dequantize(*packed, linear.group_size, linear.bits, linear.mode)


def product(x: Any, linear: Any) -> Any:
    """x · weightᵀ. The weight is frozen."""

    def forward(x: Any) -> Any:
        return x @ _whole(linear).T

    def backward(x: Any, cotangent: Any, _: Any) -> Any:
        return cotangent @ _whole(linear)

    return with_gradient(at_once(forward), at_once(backward))(x)


def low_rank(x: Any, linear: Any, a: Any, b: Any, scale: float) -> Any:
    """x · weightᵀ + scale · x · a · b. The weight is frozen."""
    import mlx.core as mx

    def forward(x: Any, a: Any, b: Any) -> Any:
        rows = _rows(x)
        out = mx.addmm(rows @ _whole(linear).T, (rows @ a) * scale, b)
        return out.reshape(*x.shape[:-1], -1)

    def backward(primals: Any, cotangent: Any, _: Any) -> Any:
        x, a, b = primals
        return _slopes(x, _whole(linear), a, b, scale, _rows(cotangent))

    return with_gradient(at_once(forward), at_once(backward))(x, a, b)


def _turning(squares: Any) -> Any:
    def call(layer: Any, x: Any) -> Any:
        return turned(x, layer.linear, squares, layer.lora_a, layer.lora_b, layer.m, layer.scale)

    return call


def turned(x: Any, linear: Any, squares: Any, a: Any, b: Any, m: Any, scale: float) -> Any:
    """What `low_rank` gives, divided by the lengths of the rows that made it, times `m`. The
    lengths have no gradient, as in the paper (arXiv 2402.09353, 4.3)."""
    import mlx.core as mx

    def forward(x: Any, a: Any, b: Any, m: Any) -> tuple[Any, Any]:
        rows, weight = _rows(x), _whole(linear)
        # |w + d|² = |w|² + 2 w·d + |d|², without the matrix d.
        across = ((weight @ a) * b.T).sum(axis=1)
        own = ((b.T @ (a.T @ a)) * b.T).sum(axis=1)
        factor = m / mx.sqrt(squares + 2 * scale * across + scale * scale * own)
        out = mx.addmm(rows @ weight.T, (rows @ a) * scale, b) * factor
        return out.reshape(*x.shape[:-1], -1), factor

    def backward(primals: Any, cotangents: Any, outputs: Any) -> Any:
        x, a, b, m = primals
        told, (out, factor) = _rows(cotangents[0]), outputs
        to_m = (told * _rows(out)).sum(axis=0) / m
        return *_slopes(x, _whole(linear), a, b, scale, told * factor), to_m

    return with_gradient(at_once(forward), at_once(backward))(x, a, b, m)[0]


def _squares(linear: Any) -> Any:
    import mlx.core as mx

    found = mx.square(_whole(linear)).sum(axis=1)
    # Members of a team share it, each in a thread of its own.
    mx.eval(found)
    return found


def _rows(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def _slopes(x: Any, weight: Any, a: Any, b: Any, scale: float, told: Any) -> tuple[Any, Any, Any]:
    """For input, a and b."""
    import mlx.core as mx

    rows = _rows(x)
    low = (told @ b.T) * scale
    to_x = mx.addmm(told @ weight, low, a.T)
    return to_x.reshape(x.shape), rows.T @ low, ((rows @ a) * scale).T @ told

"""Gated activations by numpy on a CPU, where MLX computes each exponential on its own.

A model's formula is not taken from its name: both candidates are compared with what it computes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jessy_build.trainers._gradient import with_gradient

PARTS = {"gate_proj", "up_proj", "down_proj"}
ELEMENTS = 1 << 16
"""Worked on at a time: few enough that the intermediate values stay in the cache."""
CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Activation:
    value: Callable[[Any], Any]
    """numpy array → f of it, and whatever `slope` can use again."""
    slope: Callable[[Any, Any], Any]
    """The array and that again → f' of it."""


def quicken(model: Any) -> int:
    """Teach the gated blocks whose formula is known; returns how many."""
    done = 0
    for layer in model.layers:
        block = getattr(layer, "mlp", None)
        if block is None or set(block.children()) != PARTS or block.keys() - PARTS:
            continue
        activation = _formula(block)
        if activation is not None:
            quick = _call_of(activation)
            block.__class__ = type("Quick", (type(block),), {"__call__": quick})
            done += 1
    return done


def _formula(block: Any) -> Activation | None:
    import mlx.core as mx

    some = mx.random.normal((2, _width(block.gate_proj)), key=mx.random.key(0))
    real = block(some)
    near = CLOSE * float(mx.abs(real).max())
    for activation in (SILU, GELU):
        if mx.allclose(_call_of(activation)(block, some), real, rtol=CLOSE, atol=near).item():
            return activation
    return None


def _width(linear: Any) -> int:
    """Numbers that go in. Quantised weights lie packed, several in a word of 32 bits."""
    columns = int(linear.weight.shape[1])
    return columns * 32 // linear.bits if hasattr(linear, "bits") else columns


def _call_of(activation: Activation) -> Callable[[Any, Any], Any]:
    def call(block: Any, x: Any) -> Any:
        return block.down_proj(gated(activation, block.gate_proj(x), block.up_proj(x)))

    return call


def gated(activation: Activation, gate: Any, up: Any) -> Any:
    """f(gate) · up for fp32 arrays, with its own gradient."""
    import mlx.core as mx
    import numpy as np

    def forward(gate: Any, up: Any) -> Any:
        mx.eval(gate, up)
        ours, others = _flat(gate), _flat(up)
        product = np.empty_like(ours)
        for here in _pieces(len(ours)):
            value, _ = activation.value(ours[here])
            np.multiply(value, others[here], out=product[here])
        return mx.array(product.reshape(gate.shape))

    def backward(primals: Any, cotangent: Any, _: Any) -> Any:
        mx.eval(primals, cotangent)
        ours, others, told = _flat(primals[0]), _flat(primals[1]), _flat(cotangent)
        to_gate, to_up = np.empty_like(ours), np.empty_like(ours)
        for here in _pieces(len(ours)):
            value, again = activation.value(ours[here])
            np.multiply(told[here], value, out=to_up[here])
            slope = activation.slope(ours[here], again)
            slope *= others[here]
            np.multiply(slope, told[here], out=to_gate[here])
        shape = primals[0].shape
        return mx.array(to_gate.reshape(shape)), mx.array(to_up.reshape(shape))

    return with_gradient(forward, backward)(gate, up)


def _flat(array: Any) -> Any:
    import numpy as np

    return np.asarray(array).reshape(-1)


def _pieces(length: int) -> list[slice]:
    return [slice(at, at + ELEMENTS) for at in range(0, length, ELEMENTS)]


def _silu(x: Any) -> tuple[Any, Any]:
    import numpy as np

    sigmoid = np.negative(x)
    with np.errstate(over="ignore"):  # infinity is the right answer on the way to zero
        np.exp(sigmoid, out=sigmoid)
    sigmoid += 1
    np.reciprocal(sigmoid, out=sigmoid)
    return x * sigmoid, sigmoid


def _silu_slope(x: Any, sigmoid: Any) -> Any:
    slope = 1 - sigmoid
    slope *= x
    slope += 1
    slope *= sigmoid
    return slope


ROOT = math.sqrt(2 / math.pi)
CUBE = 0.044715


def _gelu(x: Any) -> tuple[Any, Any]:
    """The tanh form, which the models call `gelu_pytorch_tanh`."""
    import numpy as np

    bend = x * x
    bend *= CUBE * ROOT
    bend += ROOT
    bend *= x
    np.tanh(bend, out=bend)
    value = bend + 1
    value *= x
    value *= 0.5
    return value, bend


def _gelu_slope(x: Any, bend: Any) -> Any:
    inner = x * x
    inner *= 3 * CUBE * ROOT
    inner += ROOT
    inner *= x
    slope = bend * bend
    slope -= 1
    slope *= inner
    # (1 + tanh) / 2 + x (1 - tanh²) inner' / 2, gathered over one half.
    slope -= bend
    slope -= 1
    slope *= -0.5
    return slope


SILU = Activation(_silu, _silu_slope)
GELU = Activation(_gelu, _gelu_slope)

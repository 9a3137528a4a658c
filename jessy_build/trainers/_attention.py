"""Attention on a CPU keeps what goes in and what comes out, and makes its scores again on the way
back: they grow with the square of a row.

The formulas stay those of MLX, and so do their gradients, to the last bit.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from jessy_build.trainers._gradient import twice

ASKS = "scaled_dot_product_attention"
"""What mlx-lm's modules call for scores, by a name of their own file."""
TURNS = {"fast", "rope"}
"""The parts of the name by which they call MLX to turn queries and keys."""


def quicken(model: Any) -> int:
    """Teach the modules that compute scores, and those that turn; returns how many."""
    done = 0
    for _, module in model.named_modules():
        call = type(module).__call__
        if not isinstance(call, FunctionType):
            continue
        quick: Callable[..., Any]
        if ASKS in call.__code__.co_names and ASKS in call.__globals__:
            quick = _asking(call)
        elif set(call.__code__.co_names) >= TURNS and not module.children():
            quick = _turning(call)
        else:
            continue
        module.__class__ = type("Quick", (type(module),), {"__call__": quick})
        done += 1
    return done


def _asking(call: FunctionType) -> FunctionType:
    """The same code, which finds ours under that name."""
    known = {**call.__globals__, ASKS: _attention(call.__globals__[ASKS])}
    quick = FunctionType(call.__code__, known, call.__name__, call.__defaults__, call.__closure__)
    quick.__kwdefaults__ = call.__kwdefaults__
    return quick


def _attention(plain: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        queries: Any, keys: Any, values: Any, cache: Any, *args: Any, sinks: Any = None, **more: Any
    ) -> Any:
        def asked(queries: Any, keys: Any, values: Any) -> Any:
            return plain(queries, keys, values, cache, *args, sinks=sinks, **more)

        # With a cache nothing is learned; and sinks, which may learn, would get no gradient.
        alone = cache is None and sinks is None
        return (twice(asked) if alone else asked)(queries, keys, values)

    return call


def _turning(call: FunctionType) -> Callable[..., Any]:
    def quick(module: Any, x: Any, *args: Any, **more: Any) -> Any:
        return twice(lambda x: call(module, x, *args, **more))(x)

    return quick

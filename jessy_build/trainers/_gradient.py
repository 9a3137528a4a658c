"""Functions that MLX does not look into: they come with their own gradient."""

from collections.abc import Callable
from typing import Any


def with_gradient(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """`backward(inputs, told, outputs)` gives a gradient for each input.

    Each of the three is the bare value where there is one, and a list where there are several.
    """
    import mlx.core as mx

    function: Any = mx.custom_function(forward)
    function.vjp(backward)
    return function


def at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Computed now, and only the numbers are given back: while there is a gradient to come, MLX
    keeps all that a result was made of, whether it is evaluated or not."""

    def call(*given: Any) -> Any:
        import mlx.core as mx
        import numpy as np
        from mlx.utils import tree_map

        found = function(*given)
        mx.eval(found)
        return tree_map(lambda array: mx.array(np.asarray(array)), found)

    return call


def twice(function: Callable[..., Any]) -> Any:
    """Of several inputs or one; keeps these and the result, and computes again, on the way back,
    what MLX's own gradient asks for."""
    import mlx.core as mx

    def backward(primals: Any, cotangent: Any, _: Any) -> Any:
        several = isinstance(primals, (list, tuple))
        _, found = mx.vjp(function, list(primals) if several else [primals], [cotangent])
        return tuple(found) if several else found[0]

    return with_gradient(at_once(function), at_once(backward))

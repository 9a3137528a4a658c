"""A function that MLX does not look into: it comes with its own gradient."""

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

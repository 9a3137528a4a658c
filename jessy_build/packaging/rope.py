"""Rotary positions: their settings in both notations, Llama 3's slowed ones, the order of rows."""

from collections.abc import Mapping
from typing import Any

from jessy_build.diagnostics import StepError

Meta = Mapping[str, Any]

LLAMA3_ROPE = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3_CONTEXT = 8192


def short(value: Any) -> float:
    """The shortest decimal that reads back as this float32: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def _rope(config: Meta) -> Mapping[str, Any]:
    """transformers 5 gathers rope settings in one entry, for Gemma 3 one per kind of layer."""
    parameters = config.get("rope_parameters") or {}
    full = parameters.get("full_attention", parameters)
    return full if isinstance(full, Mapping) else {}


def base(config: Meta) -> float:
    return float(config.get("rope_theta") or _rope(config).get("rope_theta") or 10_000.0)


def scaling(config: Meta) -> Mapping[str, Any]:
    return config.get("rope_scaling") or _rope(config)


def kind(scaling: Mapping[str, Any]) -> str:
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def llama3_factors(scaling: Mapping[str, Any], base: float, head_dim: int) -> Any:
    """By how much each rotation is slowed down: not at all, fully, or in between."""
    import numpy as np

    factor = float(scaling["factor"])
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    context = float(scaling["original_max_position_embeddings"])
    lengths = 2 * np.pi * base ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    blend = (context / lengths - low) / (high - low)
    between = 1 / ((1 - blend) / factor + blend)
    factors = np.where(lengths < context / high, 1.0, between)
    return np.where(lengths > context / low, factor, factors).astype(np.float32)


def llama3_scaling(factors: Any, base: float, head_dim: int) -> dict[str, Any]:
    """The config.json entry whose factors these are; Llama 3.1 and later know only one shape."""
    import numpy as np

    scaling = {
        "rope_type": "llama3",
        "factor": short(factors.max()),
        "original_max_position_embeddings": LLAMA3_CONTEXT,
        **LLAMA3_ROPE,
    }
    if not np.allclose(llama3_factors(scaling, base, head_dim), factors, rtol=1e-4):
        raise StepError("the GGUF's rope_freqs are not those of Llama 3.1, and cannot be converted")
    return scaling


def permutation(rows: int, heads: int, *, to_gguf: bool) -> Any:
    """The order in which rows of a rotated projection are taken, head by head."""
    import numpy as np

    half = rows // heads // 2
    shape = (heads, 2, half) if to_gguf else (heads, half, 2)
    return np.arange(rows).reshape(shape).swapaxes(1, 2).reshape(rows)

"""What Gemma 2 and 3 have that GGUF does not store, as llama.cpp and Ollama suppose it to be."""

from collections.abc import Mapping
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging.rope import short

Meta = Mapping[str, Any]

GEMMA3_PERIOD = 6
"""llama.cpp and Ollama build every sixth Gemma 3 layer global; neither reads it from the file."""
GEMMA3_LOCAL_ROPE = 10_000.0
GEMMA2_WINDOW = 4096
GEMMA_27B = {"gemma2": 46, "gemma3": 62}
"""Layers of the one size whose attention is scaled by width / heads instead of head size."""


def _attention_scalar(gguf: str, layers: int, width: int, heads: int, head_dim: int) -> float:
    """Gemma's query_pre_attn_scalar as llama.cpp works it out; no GGUF stores it."""
    return width / heads if layers == GEMMA_27B[gguf] else head_dim


def gemma3_config(meta: Meta, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_pre_attn_scalar": _attention_scalar(
            "gemma3",
            config["num_hidden_layers"],
            config["hidden_size"],
            config["num_attention_heads"],
            config["head_dim"],
        ),
        "sliding_window": meta.get("gemma3.attention.sliding_window", 1024),
        "sliding_window_pattern": GEMMA3_PERIOD,
        "rope_local_base_freq": short(meta.get("gemma3.rope.freq_base_swa", GEMMA3_LOCAL_ROPE)),
    }


def gemma3_keys(config: Meta) -> dict[str, Any]:
    _check_attention_scalar("gemma3", config)
    layers = int(config["num_hidden_layers"])
    period = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        expected = [
            "full_attention" if n % GEMMA3_PERIOD == GEMMA3_PERIOD - 1 else "sliding_attention"
            for n in range(layers)
        ]
        period = GEMMA3_PERIOD if kinds == expected else 0
    if (period or GEMMA3_PERIOD) != GEMMA3_PERIOD:
        raise StepError("this Gemma 3 mixes local and global layers as no GGUF runtime does")
    local = config.get("rope_local_base_freq") or (
        (config.get("rope_parameters") or {}).get("sliding_attention") or {}
    ).get("rope_theta", GEMMA3_LOCAL_ROPE)
    if float(local) != GEMMA3_LOCAL_ROPE:
        raise StepError(f"a Gemma 3 with a local rope base of {local} cannot be served from a GGUF")
    return {"attention.sliding_window": int(config["sliding_window"])}


def gemma2_config(meta: Meta, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_pre_attn_scalar": _attention_scalar(
            "gemma2",
            config["num_hidden_layers"],
            config["hidden_size"],
            config["num_attention_heads"],
            config["head_dim"],
        ),
        "sliding_window": meta.get("gemma2.attention.sliding_window", GEMMA2_WINDOW),
        "attn_logit_softcapping": short(meta.get("gemma2.attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": short(meta.get("gemma2.final_logit_softcapping", 30.0)),
    }


def gemma2_keys(config: Meta) -> dict[str, Any]:
    _check_attention_scalar("gemma2", config)
    return {
        "attention.sliding_window": int(config.get("sliding_window") or GEMMA2_WINDOW),
        "attn_logit_softcapping": float(config.get("attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": float(config.get("final_logit_softcapping", 30.0)),
    }


def _check_attention_scalar(gguf: str, config: Meta) -> None:
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    head_dim = int(config.get("head_dim") or width // heads)
    layers = int(config["num_hidden_layers"])
    served = _attention_scalar(gguf, layers, width, heads, head_dim)
    trained = float(config.get("query_pre_attn_scalar", served))
    if trained != served:
        raise StepError(
            f"this model scales attention by {trained:g}, and GGUF runtimes would use {served:g}"
        )

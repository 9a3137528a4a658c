"""The model families that can go from GGUF to a model folder and back: names, settings, layouts.

One entry a family. A difference between the two formats stands here or nowhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jessy_build.diagnostics import StepError

Meta = Mapping[str, Any]

TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

PLAIN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
SANDWICH_LAYER = PLAIN_LAYER | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}

LLAMA3_ROPE = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3_CONTEXT = 8192

GEMMA3_PERIOD = 6
"""llama.cpp and Ollama build every sixth Gemma 3 layer global; neither reads it from the file."""
GEMMA3_LOCAL_ROPE = 10_000.0
GEMMA2_WINDOW = 4096
GEMMA_27B = {"gemma2": 46, "gemma3": 62}
"""Layers of the one size whose attention is scaled by width / heads instead of head size."""


@dataclass(frozen=True, slots=True)
class Architecture:
    gguf: str
    model_types: tuple[str, ...]
    """Hugging Face's words; the first is written, all are read."""
    hf_class: str
    layer: Mapping[str, str]
    permutes_qk: bool = False
    """llama.cpp rotates neighbours where Hugging Face rotates halves."""
    norm_offset: float = 0.0
    """What GGUF stores more than Hugging Face in every norm."""
    head_dim: bool = False
    """Whether config.json names the head size."""
    special_config: Callable[[Meta, dict[str, Any]], dict[str, Any]] = lambda meta, config: {}
    """More of config.json out of the GGUF's settings."""
    special_keys: Callable[[Meta], dict[str, Any]] = lambda config: {}
    """More GGUF settings out of config.json; refuses what the runtimes cannot do."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Entries of config.json that are the same in every model of the family."""

    def hf_name(self, name: str) -> str | None:
        """A tensor's Hugging Face name, None for one that config.json carries instead."""
        if name in TOP:
            return TOP[name]
        if name == "rope_freqs.weight":
            return None
        parts = name.split(".")
        if len(parts) == 4 and parts[0] == "blk" and parts[2] in self.layer:
            return f"model.layers.{parts[1]}.{self.layer[parts[2]]}.{parts[3]}"
        raise StepError(f"tensor '{name}' has no place in a {self.gguf} model")

    def gguf_name(self, name: str) -> str:
        for ours, theirs in TOP.items():
            if name == theirs:
                return ours
        parts = name.split(".")
        inside, kind = ".".join(parts[3:-1]), parts[-1]
        if parts[:2] == ["model", "layers"]:
            for ours, theirs in self.layer.items():
                if inside == theirs:
                    return f"blk.{parts[2]}.{ours}.{kind}"
        raise StepError(f"tensor '{name}' has no place in a {self.gguf} GGUF")

    def heads_to_permute(self, name: str, config: Meta) -> int | None:
        """How many heads the rows of this (Hugging Face) tensor hold, if they change places."""
        if not self.permutes_qk or name.split(".")[-2] not in ("q_proj", "k_proj"):
            return None
        heads = "num_attention_heads" if ".q_proj." in name else "num_key_value_heads"
        return int(config[heads])

    def config(self, meta: Meta, vocabulary: int, tied: bool) -> dict[str, Any]:
        """config.json, less the token ids."""

        def key(name: str, default: Any = None) -> Any:
            value = meta.get(f"{self.gguf}.{name}", default)
            if value is None:
                raise StepError(f"the GGUF does not say {self.gguf}.{name}")
            return value

        width, heads = key("embedding_length"), key("attention.head_count")
        head_dim = key("attention.key_length", width // heads)
        config = {
            "architectures": [self.hf_class],
            "model_type": self.model_types[0],
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": key("feed_forward_length"),
            "num_hidden_layers": key("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": key("attention.head_count_kv", heads),
            "max_position_embeddings": key("context_length"),
            "rms_norm_eps": _short(key("attention.layer_norm_rms_epsilon")),
            "rope_theta": _short(key("rope.freq_base", 10_000.0)),
            "tie_word_embeddings": tied,
            "torch_dtype": "float16",
            **self.defaults,
        }
        if self.head_dim or head_dim * heads != width:
            config["head_dim"] = head_dim
        scaling = meta.get(f"{self.gguf}.rope.scaling.type", "none")
        if scaling == "linear":
            config["rope_scaling"] = {
                "rope_type": "linear",
                "factor": _short(key("rope.scaling.factor")),
            }
        elif scaling != "none":
            raise StepError(f"the GGUF scales its rope by '{scaling}', which cannot be converted")
        return config | self.special_config(meta, config)

    def keys(self, config: Meta) -> dict[str, Any]:
        """The GGUF's settings: name after the architecture → value; floats are float32 there."""
        heads = int(config["num_attention_heads"])
        head_dim = head_dim_of(config)
        keys: dict[str, Any] = {
            "block_count": int(config["num_hidden_layers"]),
            "context_length": int(config.get("max_position_embeddings", 2048)),
            "embedding_length": int(config["hidden_size"]),
            "feed_forward_length": int(config["intermediate_size"]),
            "attention.head_count": heads,
            "attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
            "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
            "attention.key_length": head_dim,
            "attention.value_length": head_dim,
            "rope.dimension_count": head_dim,
            "rope.freq_base": rope_base(config),
            "vocab_size": int(config["vocab_size"]),
        }
        scaling = rope_scaling(config)
        kind = rope_kind(scaling)
        if kind == "linear":
            keys["rope.scaling.type"] = "linear"
            keys["rope.scaling.factor"] = float(scaling["factor"])
        elif kind not in ("default", "llama3"):
            raise StepError(f"the model scales its rope by '{kind}', which has no GGUF writer here")
        return keys | self.special_keys(config)


def _short(value: Any) -> float:
    """The shortest decimal that reads back as this float32: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def head_dim_of(config: Meta) -> int:
    heads = int(config["num_attention_heads"])
    return int(config.get("head_dim") or int(config["hidden_size"]) // heads)


def _rope(config: Meta) -> Mapping[str, Any]:
    """transformers 5 gathers rope settings in one entry, for Gemma 3 one per kind of layer."""
    parameters = config.get("rope_parameters") or {}
    full = parameters.get("full_attention", parameters)
    return full if isinstance(full, Mapping) else {}


def rope_base(config: Meta) -> float:
    return float(config.get("rope_theta") or _rope(config).get("rope_theta") or 10_000.0)


def rope_scaling(config: Meta) -> Mapping[str, Any]:
    return config.get("rope_scaling") or _rope(config)


def rope_kind(scaling: Mapping[str, Any]) -> str:
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
        "factor": _short(factors.max()),
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


def _attention_scalar(gguf: str, layers: int, width: int, heads: int, head_dim: int) -> float:
    """Gemma's query_pre_attn_scalar as llama.cpp works it out; no GGUF stores it."""
    return width / heads if layers == GEMMA_27B[gguf] else head_dim


def _gemma3_config(meta: Meta, config: dict[str, Any]) -> dict[str, Any]:
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
        "rope_local_base_freq": _short(meta.get("gemma3.rope.freq_base_swa", GEMMA3_LOCAL_ROPE)),
    }


def _gemma3_keys(config: Meta) -> dict[str, Any]:
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


def _gemma2_config(meta: Meta, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_pre_attn_scalar": _attention_scalar(
            "gemma2",
            config["num_hidden_layers"],
            config["hidden_size"],
            config["num_attention_heads"],
            config["head_dim"],
        ),
        "sliding_window": meta.get("gemma2.attention.sliding_window", GEMMA2_WINDOW),
        "attn_logit_softcapping": _short(meta.get("gemma2.attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": _short(meta.get("gemma2.final_logit_softcapping", 30.0)),
    }


def _gemma2_keys(config: Meta) -> dict[str, Any]:
    _check_attention_scalar("gemma2", config)
    return {
        "attention.sliding_window": int(config.get("sliding_window") or GEMMA2_WINDOW),
        "attn_logit_softcapping": float(config.get("attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": float(config.get("final_logit_softcapping", 30.0)),
    }


def _check_attention_scalar(gguf: str, config: Meta) -> None:
    served = _attention_scalar(
        gguf,
        int(config["num_hidden_layers"]),
        int(config["hidden_size"]),
        int(config["num_attention_heads"]),
        head_dim_of(config),
    )
    trained = float(config.get("query_pre_attn_scalar", served))
    if trained != served:
        raise StepError(
            f"this model scales attention by {trained:g}, and GGUF runtimes would use {served:g}"
        )


GEMMA = {"hidden_activation": "gelu_pytorch_tanh"}

ARCHITECTURES = (
    Architecture(
        gguf="llama",
        model_types=("llama", "mistral"),
        hf_class="LlamaForCausalLM",
        layer=PLAIN_LAYER,
        permutes_qk=True,
        defaults={"hidden_act": "silu", "attention_bias": False, "mlp_bias": False},
    ),
    Architecture(
        gguf="qwen2",
        model_types=("qwen2",),
        hf_class="Qwen2ForCausalLM",
        layer=PLAIN_LAYER,
        defaults={"hidden_act": "silu"},
    ),
    Architecture(
        gguf="qwen3",
        model_types=("qwen3",),
        hf_class="Qwen3ForCausalLM",
        layer=PLAIN_LAYER | QK_NORMS,
        head_dim=True,
        defaults={"hidden_act": "silu", "attention_bias": False},
    ),
    Architecture(
        gguf="gemma",
        model_types=("gemma",),
        hf_class="GemmaForCausalLM",
        layer=PLAIN_LAYER,
        norm_offset=1.0,
        head_dim=True,
        defaults=GEMMA,
    ),
    Architecture(
        gguf="gemma2",
        model_types=("gemma2",),
        hf_class="Gemma2ForCausalLM",
        layer=SANDWICH_LAYER,
        norm_offset=1.0,
        head_dim=True,
        special_config=_gemma2_config,
        special_keys=_gemma2_keys,
        defaults=GEMMA,
    ),
    Architecture(
        gguf="gemma3",
        model_types=("gemma3_text",),
        hf_class="Gemma3ForCausalLM",
        layer=SANDWICH_LAYER | QK_NORMS,
        norm_offset=1.0,
        head_dim=True,
        special_config=_gemma3_config,
        special_keys=_gemma3_keys,
        defaults=GEMMA,
    ),
)


def of_gguf(name: Any) -> Architecture:
    for architecture in ARCHITECTURES:
        if architecture.gguf == name:
            return architecture
    raise StepError(f"a GGUF of architecture '{name}' cannot be converted", hint=_known("gguf"))


def of_config(config: Meta) -> Architecture:
    for architecture in ARCHITECTURES:
        if config.get("model_type") in architecture.model_types:
            return architecture
    raise StepError(
        f"a model of type '{config.get('model_type')}' cannot be written as GGUF",
        hint=_known("model_types"),
    )


def _known(what: str) -> str:
    names: list[str] = []
    for architecture in ARCHITECTURES:
        value = getattr(architecture, what)
        names += [value] if isinstance(value, str) else value
    return f"known are {', '.join(names)}"

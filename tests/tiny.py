"""A real model small enough to train in seconds: two random llama layers and a BPE tokenizer."""

import json
from pathlib import Path
from typing import Any

WORDS = (
    "hello there, how are you today? i am fine, thanks a lot!",
    "selam, nasılsın? iyiyim, teşekkür ederim. görüşürüz!",
    "sana bisi sorucam. sor kanka, dinliyorum. tamam mı?",
    "the quick brown fox jumps over the lazy dog 0123456789 times",
    "şu çılgın Türk'ün ağzından bal damlıyor; ığüşöçİĞÜŞÖÇ",
    "explain it to me like i am five, please. of course, here we go:",
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 400
HIDDEN, LAYERS, HEADS, KEY_HEADS, WIDE = 64, 2, 4, 2, 128

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def make_tiny_model(folder: Path) -> Path:
    """The same bytes in every run: seeded weights, merges from fixed words."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    _write_json(folder / "config.json", _config(vocabulary))
    _write_weights(folder / "model.safetensors", vocabulary)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder


def _write_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    end, _, turn_end = (tokenizer.token_to_id(token) for token in SPECIALS)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|im_end|>",
            "clean_up_tokenization_spaces": False,
            "add_bos_token": False,
            "model_max_length": 512,
        },
    )
    _write_json(folder / "generation_config.json", {"eos_token_id": [turn_end, end]})
    return int(tokenizer.get_vocab_size())


def _config(vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "intermediate_size": WIDE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": HIDDEN // HEADS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _write_weights(file: Path, vocabulary: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(7)
    key_wide = KEY_HEADS * (HIDDEN // HEADS)
    shapes = {"model.embed_tokens.weight": (vocabulary, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
            f"{at}.self_attn.k_proj.weight": (key_wide, HIDDEN),
            f"{at}.self_attn.v_proj.weight": (key_wide, HIDDEN),
            f"{at}.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            f"{at}.mlp.gate_proj.weight": (WIDE, HIDDEN),
            f"{at}.mlp.up_proj.weight": (WIDE, HIDDEN),
            f"{at}.mlp.down_proj.weight": (HIDDEN, WIDE),
            f"{at}.input_layernorm.weight": (HIDDEN,),
            f"{at}.post_attention_layernorm.weight": (HIDDEN,),
        }
    save_file(
        {
            name: np.ones(shape, np.float32)
            if len(shape) == 1
            else (random.standard_normal(shape) * 0.08).astype(np.float16)
            for name, shape in shapes.items()
        },
        str(file),
        metadata={"format": "pt"},
    )


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")

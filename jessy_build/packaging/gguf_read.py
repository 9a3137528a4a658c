"""Make a model folder out of a GGUF: weights dequantised, names and tokenizer as MLX wants them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jessy_build.chat import BUILTIN, Chat
from jessy_build.diagnostics import StepError
from jessy_build.packaging import architectures, rope, safetensors_file, vocabulary
from jessy_build.packaging.architectures import Architecture
from jessy_build.packaging.gguf_file import GgufFile, Tensor, open_gguf
from jessy_build.packaging.vocabulary import Vocabulary

TEMPLATE_HINT = f"set base.chat_template: {' | '.join(sorted(BUILTIN, reverse=True))} or a file"


def convert(gguf: Path, out: Path, chat_template: str | None = None) -> None:
    """Fill the folder `out`. `chat_template` is Jinja text that replaces the file's own.

    Everything that can be refused is refused before the first weight is read.
    """
    source = open_gguf(gguf)
    architecture = architectures.of_gguf(source.meta.get("general.architecture"))
    names = _names(source, architecture)
    words = vocabulary.from_gguf(source.meta)
    embedding = source.tensors.get("token_embd.weight")
    if embedding is None or embedding.rows < len(words.tokens):
        raise StepError(f"{gguf} has fewer embedding rows than tokens")
    config = architecture.config(source.meta, embedding.rows, "output.weight" not in source.tensors)
    config |= _llama3_rope(source, architecture, config)
    chat = _chat(source, words, chat_template)
    ends = _end_ids(chat, words)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_settings(out, config, words, chat, ends)
        _write_weights(out / "model.safetensors", source, architecture, names, config)
    except OSError as error:
        raise StepError(
            f"cannot write {out}: {error.strerror or error}", hint="free some space, then go on"
        ) from error


def _names(source: GgufFile, architecture: Architecture) -> dict[str, Tensor]:
    """Hugging Face name → tensor."""
    names = {architecture.hf_name(name): tensor for name, tensor in source.tensors.items()}
    return {name: tensor for name, tensor in names.items() if name is not None}


def _llama3_rope(
    source: GgufFile, architecture: Architecture, config: Mapping[str, Any]
) -> dict[str, Any]:
    tensor = source.tensors.get("rope_freqs.weight")
    if tensor is None:
        return {}
    head_dim = architectures.head_dim_of(config)
    factors = source.whole(tensor)
    return {"rope_scaling": rope.llama3_scaling(factors, config["rope_theta"], head_dim)}


def _chat(source: GgufFile, words: Vocabulary, chat_template: str | None) -> Chat:
    template = chat_template or source.meta.get("tokenizer.chat_template")
    if not template:
        raise StepError(f"{source.path} has no chat template", hint=TEMPLATE_HINT)
    tokens = {"unk_token": words.text("unk"), "pad_token": words.text("pad")}
    return Chat(template, words.text("bos"), words.text("eos"), tokens)


def _end_ids(chat: Chat, words: Vocabulary) -> list[int]:
    """Every token that ends an answer, the template's end of turn first."""
    ids = {
        token: number
        for number, token in enumerate(words.texts())
        if words.types[number] != vocabulary.UNUSED
    }
    if chat.end_of_turn not in ids:
        raise StepError(
            f"the chat template ends a turn with '{chat.end_of_turn}', which is no token of the "
            "base, so the model could never learn to stop",
            hint=TEMPLATE_HINT,
        )
    from_template = [ids[stop] for stop in chat.stops if stop in ids]
    return list(dict.fromkeys([*from_template, *words.end_ids]))


def _write_settings(
    out: Path, config: Mapping[str, Any], words: Vocabulary, chat: Chat, ends: list[int]
) -> None:
    ids = {
        f"{role}_token_id": words.special[role] for role in ("bos", "pad") if role in words.special
    }
    _write_json(out / "config.json", {**config, **ids, "eos_token_id": ends})
    _write_json(out / "generation_config.json", {**ids, "eos_token_id": ends})
    _write_json(out / "tokenizer.json", vocabulary.to_tokenizer_json(words), indent=None)
    special = {f"{role}_token": words.text(role) for role in words.special}
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special,
            "add_bos_token": words.add_bos,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["max_position_embeddings"],
        },
    )
    (out / "chat_template.jinja").write_text(chat.template, encoding="utf-8", newline="\n")


def _write_json(path: Path, value: Mapping[str, Any], indent: int | None = 2) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _write_weights(
    path: Path,
    source: GgufFile,
    architecture: Architecture,
    names: Mapping[str, Tensor],
    config: Mapping[str, Any],
) -> None:
    layout = {
        name: ("F32" if len(tensor.shape) == 1 else "F16", tensor.shape)
        for name, tensor in names.items()
    }
    blocks: dict[str, Iterable[Any]] = {
        name: _values(name, tensor, source, architecture, config) for name, tensor in names.items()
    }
    safetensors_file.write(path, layout, blocks)


def _values(
    name: str,
    tensor: Tensor,
    source: GgufFile,
    architecture: Architecture,
    config: Mapping[str, Any],
) -> Iterator[Any]:
    heads = architecture.heads_to_permute(name, config)
    order = rope.permutation(tensor.rows, heads, to_gguf=False) if heads else None
    offset = architecture.norm_offset if name.endswith("norm.weight") else 0.0
    for block in source.blocks(tensor, order):
        yield block - offset if offset else block

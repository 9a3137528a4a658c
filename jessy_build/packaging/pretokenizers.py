"""How each pre-tokenizer that llama.cpp knows by name is written in a tokenizer.json.

Text is cut by these rules before any merge, so a wrong one shifts token ids without an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jessy_build.diagnostics import StepError

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN_SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

Part = tuple[str, ...]
DIGITS: Part = ("digits",)
WORDS: Part = ("bytes", "words")
BYTES: Part = ("bytes",)


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    names: tuple[str, ...]
    """llama.cpp's names; the first is written."""
    parts: tuple[Part, ...]
    whole_words: bool = False
    """A word that is in the vocabulary is taken whole, whatever the merges say."""
    adds_bos: bool = False
    """What llama.cpp does when the file does not say."""


def _split(pattern: str) -> tuple[Part, ...]:
    return (("split", pattern), BYTES)


PRE_TOKENIZERS = (
    PreTokenizer(("smollm", "codeshell", "starcoder", "refact", "command-r"), (DIGITS, WORDS)),
    PreTokenizer(("gpt-2", "mpt", "olmo", "jais", "phi-2"), (WORDS,)),
    PreTokenizer(
        ("llama-bpe", "llama3", "llama-v3"), _split(LLAMA3_SPLIT), whole_words=True, adds_bos=True
    ),
    PreTokenizer(("qwen2",), _split(QWEN2_SPLIT)),
    PreTokenizer(("tekken",), _split(TEKKEN_SPLIT), whole_words=True, adds_bos=True),
)


def named(name: Any) -> PreTokenizer:
    for entry in PRE_TOKENIZERS:
        if name in entry.names:
            return entry
    known = ", ".join(entry.names[0] for entry in PRE_TOKENIZERS)
    raise StepError(f"the GGUF's pre-tokenizer '{name}' is not known here", hint=f"known: {known}")


def recognised(pre_tokenizer: Any, whole_words: bool) -> PreTokenizer:
    """The entry that cuts text as this part of a tokenizer.json does."""
    parts = _parts(pre_tokenizer)
    for entry in PRE_TOKENIZERS:
        # Whole words where llama.cpp merges, or the other way round, give other token ids.
        if entry.parts == parts and (entry.whole_words or not whole_words):
            return entry
    raise StepError(
        "the tokenizer cuts text in a way that no GGUF pre-tokenizer known here does",
        hint=f"known: {', '.join(entry.names[0] for entry in PRE_TOKENIZERS)}",
    )


def to_json(entry: PreTokenizer) -> dict[str, Any]:
    parts = [_part_json(part) for part in entry.parts]
    return parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}


def _part_json(part: Part) -> dict[str, Any]:
    if part == DIGITS:
        return {"type": "Digits", "individual_digits": True}
    if part[0] == "split":
        return {
            "type": "Split",
            "pattern": {"Regex": part[1]},
            "behavior": "Isolated",
            "invert": False,
        }
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": part == WORDS,
    }


def _parts(pre_tokenizer: Any) -> tuple[Part, ...]:
    if not isinstance(pre_tokenizer, Mapping):
        return ()
    if pre_tokenizer.get("type") == "Sequence":
        return tuple(part for one in pre_tokenizer["pretokenizers"] for part in _parts(one))
    return (_part(pre_tokenizer),)


def _part(one: Mapping[str, Any]) -> Part:
    match one.get("type"):
        case "Digits" if one.get("individual_digits"):
            return DIGITS
        case "ByteLevel" if not one.get("add_prefix_space"):
            return WORDS if one.get("use_regex", True) else BYTES
        case "Split" if one.get("behavior") in ("Isolated", "Removed"):
            # 'Removed' with invert keeps the matches, as 'Isolated' does for a full cover.
            if (one["behavior"] == "Removed") == bool(one.get("invert")):
                return ("split", str(one["pattern"].get("Regex")))
    return ("unknown",)

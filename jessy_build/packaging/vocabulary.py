"""The tokenizer between two notations: GGUF's token lists and Hugging Face's tokenizer.json.

llama.cpp knows two kinds. `gpt2` merges bytes by a list. `llama` (SentencePiece) joins neighbours
by the score of the result, which is the same as merging by a list that is sorted by those scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import neg
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import pretokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SCORED = (NORMAL, USER_DEFINED)
SPACE = "▁"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
Merge = tuple[str, str]
SPECIAL_IDS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as GGUF lists it."""

    model: str
    """`gpt2` or `llama`, llama.cpp's words."""
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    """Only of a `llama` vocabulary."""
    merges: tuple[Merge, ...]
    """Only of a `gpt2` vocabulary."""
    add_space_prefix: bool
    add_bos: bool
    special: Mapping[str, int]
    """Ids by role: bos, eos, unk, pad; roles that there are."""
    end_ids: tuple[int, ...] = ()
    """Every token that the file says ends an answer."""

    def text(self, role: str) -> str:
        return self.tokens[self.special[role]] if role in self.special else ""


def from_gguf(meta: Mapping[str, Any]) -> Vocabulary:
    model = meta.get("tokenizer.ggml.model")
    tokens = tuple(meta.get("tokenizer.ggml.tokens") or ())
    if not tokens:
        raise StepError("the GGUF holds no vocabulary")
    types = tuple(meta.get("tokenizer.ggml.token_type") or (NORMAL,) * len(tokens))
    scores = tuple(meta.get("tokenizer.ggml.scores") or ())
    pre = str(meta.get("tokenizer.ggml.pre") or "default")
    merges: tuple[Merge, ...] = ()
    if model == "gpt2":
        adds_bos = pretokenizers.named(pre).adds_bos
        merges = tuple(_merge(text) for text in meta.get("tokenizer.ggml.merges") or ())
        if not merges:
            raise StepError("the GGUF's BPE vocabulary has no merges")
    elif model == "llama":
        adds_bos = True
        if len(scores) != len(tokens):
            raise StepError("the GGUF's SentencePiece vocabulary has no scores")
    else:
        raise StepError(
            f"a GGUF vocabulary of kind '{model}' cannot be converted", hint="known: gpt2, llama"
        )
    if len(types) != len(tokens):
        raise StepError("the GGUF's lists of tokens and of their types differ in length")
    ids = {
        role: meta[key]
        for role, word in SPECIAL_IDS.items()
        if (key := f"tokenizer.ggml.{word}_token_id") in meta
    }
    ends = [meta.get(f"tokenizer.ggml.{word}_token_id") for word in ("eos", "eot", "eom")]
    ends += meta.get("tokenizer.ggml.eos_token_ids") or []
    for number in (*ids.values(), *ends):
        if number is not None and not (isinstance(number, int) and 0 <= number < len(tokens)):
            raise StepError(f"the GGUF names {number!r} as a special token, and has no such token")
    return Vocabulary(
        model=model,
        pre=pre,
        tokens=tokens,
        types=types,
        scores=scores,
        merges=merges,
        add_space_prefix=bool(meta.get("tokenizer.ggml.add_space_prefix", model == "llama")),
        add_bos=bool(meta.get("tokenizer.ggml.add_bos_token", adds_bos)),
        special=ids,
        end_ids=tuple(dict.fromkeys(number for number in ends if number is not None)),
    )


def _merge(text: str) -> Merge:
    # The first character belongs to the left part, even when it is itself a space.
    left, _, right = text[1:].partition(" ")
    return text[:1] + left, right


def to_tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    spm = vocabulary.model == "llama"
    merges = rebuilt_merges(vocabulary) if spm else vocabulary.merges
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(*entry) for entry in _matched_whole(vocabulary)],
        "normalizer": _spm_normalizer(vocabulary.add_space_prefix) if spm else None,
        "pre_tokenizer": None
        if spm
        else pretokenizers.to_json(pretokenizers.named(vocabulary.pre)),
        "post_processor": _post_processor(vocabulary),
        "decoder": _spm_decoder(vocabulary.add_space_prefix) if spm else _byte_decoder(),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": vocabulary.text("unk") or None if spm else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": spm,
            "byte_fallback": spm,
            "ignore_merges": not spm and pretokenizers.named(vocabulary.pre).whole_words,
            "vocab": {
                token: number
                for number, token in enumerate(vocabulary.tokens)
                if vocabulary.types[number] != UNUSED
            },
            "merges": [list(merge) for merge in merges],
        },
    }


def rebuilt_merges(vocabulary: Vocabulary) -> list[Merge]:
    """All ways to put each piece together from two others, best score first."""
    ids = {
        token: number
        for number, token in enumerate(vocabulary.tokens)
        if vocabulary.types[number] in (NORMAL, USER_DEFINED)
    }
    found = []
    for token, number in ids.items():
        splits = [
            (ids[token[:cut]], ids[token[cut:]])
            for cut in range(1, len(token))
            if token[:cut] in ids and token[cut:] in ids
        ]
        found += [(-vocabulary.scores[number], number, *split) for split in sorted(splits)]
    found.sort()
    return [(vocabulary.tokens[left], vocabulary.tokens[right]) for _, _, left, right in found]


def _matched_whole(vocabulary: Vocabulary) -> Iterator[tuple[int, str, bool]]:
    """Tokens that are looked for in the text before anything else: id, text, special."""
    for number, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
        if kind in (CONTROL, UNKNOWN, USER_DEFINED):
            yield number, token, kind != USER_DEFINED


def _added(number: int, token: str, special: bool) -> dict[str, Any]:
    return {
        "id": number,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _spm_normalizer(prefix: bool) -> dict[str, Any]:
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if not prefix:
        return spaces
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]}


def _spm_decoder(prefix: bool) -> dict[str, Any]:
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": decoders}


def _byte_decoder() -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def _post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    if not (vocabulary.add_bos and "bos" in vocabulary.special):
        return None
    bos, number = vocabulary.text("bos"), vocabulary.special["bos"]
    first: list[dict[str, Any]] = [
        {"SpecialToken": {"id": bos, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }


def from_tokenizer_json(
    tokenizer: Mapping[str, Any], special: Mapping[str, str], rows: int
) -> Vocabulary:
    """The tokenizer for a GGUF whose embedding has `rows` rows; `special` is role → token text."""
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise StepError(
            f"a tokenizer of type '{model.get('type')}' cannot be written into a GGUF",
            hint="only BPE tokenizers can, SentencePiece ones in their BPE form among them",
        )
    spm = bool(model.get("byte_fallback"))
    merges: list[Sequence[str]] = model["merges"]
    if merges and isinstance(merges[0], str):
        merges = [_merge(merge) for merge in model["merges"]]
    tokens, types = _listed(tokenizer, rows, spm)
    wanted = set(special.values())
    ids = {token: number for number, token in enumerate(tokens) if token in wanted}
    return Vocabulary(
        model="llama" if spm else "gpt2",
        pre="default" if spm else _pre_name(tokenizer, model),
        tokens=tokens,
        types=types,
        scores=_scores(tokens, types, merges) if spm else (),
        merges=() if spm else tuple([(left, right) for left, right in merges]),
        add_space_prefix=spm and _prefixes_space(tokenizer),
        add_bos=_adds_bos(tokenizer, special.get("bos", "")),
        special={role: ids[text] for role, text in special.items() if text in ids},
    )


def _listed(
    tokenizer: Mapping[str, Any], rows: int, spm: bool
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Every row of the embedding gets a token; rows without one get a name nobody can type."""
    tokens = [""] * rows
    types = [UNUSED] * rows
    model = tokenizer["model"]
    unknown = model.get("unk_token")
    for token, number in model["vocab"].items():
        if not 0 <= number < rows:
            raise StepError(f"token '{token}' has id {number}, but the model has {rows} rows")
        tokens[number] = token
        types[number] = NORMAL
    for token in BYTES if spm else ():
        if token in model["vocab"]:
            types[model["vocab"][token]] = BYTE
    for added in tokenizer.get("added_tokens") or []:
        number = added["id"]
        if not 0 <= number < rows:
            raise StepError(
                f"token '{added['content']}' has id {number}, but the model has {rows} rows"
            )
        tokens[number] = added["content"]
        types[number] = CONTROL if added.get("special") else USER_DEFINED
    if spm and unknown in model["vocab"]:
        types[model["vocab"][unknown]] = UNKNOWN
    if UNUSED in types:
        tokens = [
            token if kind != UNUSED else f"[PAD{number}]"
            for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        ]
    return tuple(tokens), tuple(types)


def _scores(
    tokens: Sequence[str], types: Sequence[int], merges: Sequence[Sequence[str]]
) -> tuple[float, ...]:
    """A piece scores by the place of its first merge; what no merge makes scores lowest."""
    # In as few steps of the interpreter as can be: Gemma has half a million merges.
    pieces = dict.fromkeys(map("".join, merges))
    ranks = dict(zip(pieces, map(neg, map(float, range(len(pieces)))), strict=True))
    lowest = -float(len(ranks) + 1)
    scores = list(map(ranks.get, tokens, repeat(lowest)))
    for number, kind in enumerate(types):
        if kind not in SCORED:
            scores[number] = lowest
    return tuple(scores)


def _pre_name(tokenizer: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    # llama.cpp does not normalise; NFC changes nothing in text that is composed already.
    normalizer = tokenizer.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise StepError(
            f"the tokenizer normalises text ({normalizer.get('type')}), which llama.cpp does not"
        )
    whole_words = bool(model.get("ignore_merges"))
    return pretokenizers.recognised(tokenizer.get("pre_tokenizer"), whole_words).names[0]


def _prefixes_space(tokenizer: Mapping[str, Any]) -> bool:
    cut = tokenizer.get("pre_tokenizer") or {}
    if cut.get("type") == "Metaspace":
        return bool(cut.get("prepend_scheme", "always") != "never")
    normalizer = tokenizer.get("normalizer") or {}
    parts = normalizer.get("normalizers") or [normalizer]
    return any(part.get("type") == "Prepend" for part in parts)


def _adds_bos(tokenizer: Mapping[str, Any], bos: str) -> bool:
    post = tokenizer.get("post_processor") or {}
    for one in post.get("processors") or [post]:
        first = (one.get("single") or [{}])[0]
        if bos and (first.get("SpecialToken") or {}).get("id") == bos:
            return True
    return False

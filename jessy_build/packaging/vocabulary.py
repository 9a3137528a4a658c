"""The tokenizer between two notations: GGUF's token lists and Hugging Face's tokenizer.json.

llama.cpp knows two kinds. `gpt2` merges bytes by a list. `llama` (SentencePiece) joins neighbours
by the score of the result, which is the same as merging by a list that is sorted by those scores.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from operator import neg
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import pretokenizers
from jessy_build.packaging.tokenizer_json import TokenizerJson

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SCORED = (NORMAL, USER_DEFINED)
SPACE = "▁"
BYTES = frozenset(b"<0x%02X>" % byte for byte in range(256))
Merge = tuple[str, str]
SPECIAL_IDS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as GGUF lists it."""

    model: str
    """`gpt2` or `llama`, llama.cpp's words."""
    pre: str
    tokens: tuple[bytes, ...]
    """Like merges, in UTF-8."""
    types: tuple[int, ...]
    scores: Callable[[], Sequence[float]]
    """Nothing of a `gpt2` vocabulary. Out of a tokenizer.json, Gemma's are made in a third of a
    second; StepError where its merges make no sense."""
    merges: tuple[bytes, ...]
    """Left part, space, right part; only of a `gpt2` vocabulary."""
    add_space_prefix: bool
    add_bos: bool
    special: Mapping[str, int]
    """Ids by role: bos, eos, unk, pad; roles that there are."""
    end_ids: tuple[int, ...] = ()
    """Every token that the file says ends an answer."""

    def text(self, role: str) -> str:
        return self.tokens[self.special[role]].decode() if role in self.special else ""

    def texts(self) -> list[str]:
        return [token.decode() for token in self.tokens]

    def ids(self, texts: Iterable[str]) -> dict[str, int]:
        """Of those that are tokens."""
        wanted = {text: text.encode() for text in texts}
        return {t: self.tokens.index(token) for t, token in wanted.items() if token in self.tokens}


def from_gguf(meta: Mapping[str, Any]) -> Vocabulary:
    model = meta.get("tokenizer.ggml.model")
    tokens = _encoded(meta.get("tokenizer.ggml.tokens"))
    if not tokens:
        raise StepError("the GGUF holds no vocabulary")
    types = tuple(meta.get("tokenizer.ggml.token_type") or (NORMAL,) * len(tokens))
    scores = tuple(meta.get("tokenizer.ggml.scores") or ())
    pre = str(meta.get("tokenizer.ggml.pre") or "default")
    merges: tuple[bytes, ...] = ()
    if model == "gpt2":
        adds_bos = pretokenizers.named(pre).adds_bos
        merges = _encoded(meta.get("tokenizer.ggml.merges"))
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
        scores=lambda: scores,
        merges=merges,
        add_space_prefix=bool(meta.get("tokenizer.ggml.add_space_prefix", model == "llama")),
        add_bos=bool(meta.get("tokenizer.ggml.add_bos_token", adds_bos)),
        special=ids,
        end_ids=tuple(dict.fromkeys(number for number in ends if number is not None)),
    )


def _encoded(texts: list[str] | None) -> tuple[bytes, ...]:
    return tuple([text.encode() for text in texts or ()])


def _merge(merge: bytes) -> Merge:
    # The first character belongs to the left part, even when it is itself a space.
    text = merge.decode()
    left, _, right = text[1:].partition(" ")
    return text[:1] + left, right


def to_tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    spm = vocabulary.model == "llama"
    merges = rebuilt_merges(vocabulary) if spm else map(_merge, vocabulary.merges)
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
                for number, token in enumerate(vocabulary.texts())
                if vocabulary.types[number] != UNUSED
            },
            "merges": [list(merge) for merge in merges],
        },
    }


def rebuilt_merges(vocabulary: Vocabulary) -> list[Merge]:
    """All ways to put each piece together from two others, best score first."""
    texts, scores = vocabulary.texts(), vocabulary.scores()
    ids = {
        token: number
        for number, token in enumerate(texts)
        if vocabulary.types[number] in (NORMAL, USER_DEFINED)
    }
    found = []
    for token, number in ids.items():
        splits = [
            (ids[token[:cut]], ids[token[cut:]])
            for cut in range(1, len(token))
            if token[:cut] in ids and token[cut:] in ids
        ]
        found += [(-scores[number], number, *split) for split in sorted(splits)]
    found.sort()
    return [(texts[left], texts[right]) for _, _, left, right in found]


def _matched_whole(vocabulary: Vocabulary) -> Iterator[tuple[int, str, bool]]:
    """Tokens that are looked for in the text before anything else: id, text, special."""
    for number, (token, kind) in enumerate(zip(vocabulary.texts(), vocabulary.types, strict=True)):
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


def from_tokenizer_json(text: bytes, special: Mapping[str, str], rows: int) -> Vocabulary:
    """The tokenizer for a GGUF whose embedding has `rows` rows; `special` is role → token text.

    ValueError: it is no JSON. KeyError, TypeError: something is missing in it."""
    file = TokenizerJson(text)
    model = file.rest.get("model") or {}
    if model.get("type") != "BPE":
        raise StepError(
            f"a tokenizer of type '{model.get('type')}' cannot be written into a GGUF",
            hint="only BPE tokenizers can, SentencePiece ones in their BPE form among them",
        )
    if model["vocab"] or model["merges"]:
        raise ValueError("lists that are not the first of their names")
    spm = bool(model.get("byte_fallback"))
    tokens, types = _listed(file, rows, spm)
    words = Vocabulary(
        model="llama" if spm else "gpt2",
        pre="default" if spm else _pre_name(file.rest, model),
        tokens=tuple(tokens),
        types=tuple(types),
        scores=lambda: _scores(tokens, types, file) if spm else (),
        merges=() if spm else tuple(file.merges(b" ")),
        add_space_prefix=spm and _prefixes_space(file.rest),
        add_bos=_adds_bos(file.rest, special.get("bos", "")),
        special={},
    )
    ids = words.ids(special.values())
    return replace(words, special={role: ids[t] for role, t in special.items() if t in ids})


def _listed(file: TokenizerJson, rows: int, spm: bool) -> tuple[list[bytes], list[int]]:
    """Every row of the embedding gets a token; rows without one get a name nobody can type."""
    tokens = [b""] * rows
    types = [UNUSED] * rows
    kinds = dict.fromkeys(BYTES, BYTE) if spm else {}
    vocab = zip(file.ids, file.tokens, map(kinds.get, file.tokens, repeat(NORMAL)), strict=True)
    for number, token, kind in chain(vocab, map(_of_added, file.rest.get("added_tokens") or [])):
        if not 0 <= number < rows:
            raise StepError(
                f"token '{token.decode()}' has id {number}, but the model has {rows} rows"
            )
        tokens[number] = token
        types[number] = kind
    unknown = str(file.rest["model"].get("unk_token") or "").encode()
    if spm and unknown in file.tokens:
        types[file.ids[file.tokens.index(unknown)]] = UNKNOWN
    for number, kind in enumerate(types):
        if kind == UNUSED:
            tokens[number] = b"[PAD%d]" % number
    return tokens, types


def _of_added(one: Mapping[str, Any]) -> tuple[int, bytes, int]:
    return one["id"], one["content"].encode(), CONTROL if one.get("special") else USER_DEFINED


def _scores(tokens: Sequence[bytes], types: Sequence[int], file: TokenizerJson) -> Sequence[float]:
    """A piece scores by the place of its first merge; what no merge makes scores lowest."""
    try:
        # In as few steps of the interpreter as can be: Gemma has half a million merges.
        made = dict.fromkeys(file.merges(b""))
    except ValueError as error:
        raise StepError(f"the tokenizer's merges cannot be read: {error}") from None
    ranks = dict(zip(made, map(neg, map(float, range(len(made)))), strict=True))
    lowest = -float(len(ranks) + 1)
    scores = list(map(ranks.get, tokens, repeat(lowest)))
    for number, kind in enumerate(types):
        if kind not in SCORED:
            scores[number] = lowest
    return scores


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

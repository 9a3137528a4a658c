"""Answers that cannot be anything but JSON of the wanted schema: each token is held to it.

llguidance says which tokens may come next; all others are left no chance before one is drawn.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError

COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As models write JSON. Free to choose, a small one goes on with spaces and never ends."""

Keeper = Callable[[Any, Any], Any]


class Shapes:
    """The schemas that answers of one model are held to."""

    def __init__(self, folder: Path, ends: frozenset[int]) -> None:
        import llguidance

        self._tokenizer = llguidance.LLTokenizer(
            str(folder / "tokenizer.json"), eos_token=sorted(ends)
        )
        self._ends = ends
        self._first = lru_cache(maxsize=64)(self._made)

    def keeper(self, schema: Mapping[str, Any]) -> Keeper:
        """For one answer: a processor of logits as mlx-lm calls it, with all tokens so far."""
        # A copy is cheap, where making one reads the schema anew. Properties keep their order.
        matcher = self._first(json.dumps(schema)).deep_copy()
        return _Kept(matcher, self._tokenizer.vocab_size, self._ends).logits

    def _made(self, schema: str) -> Any:
        import llguidance

        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=COMPACT)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar)
        if matcher.is_error():
            raise StepError(f"answers cannot be held to the schema: {matcher.get_error()}")
        return matcher


class _Kept:
    def __init__(self, matcher: Any, tokens: int, ends: frozenset[int]) -> None:
        from llguidance.numpy import allocate_token_bitmask

        self._matcher = matcher
        self._mask = allocate_token_bitmask(1, tokens)
        self._tokens = tokens
        self._ends = sorted(ends)
        self._begun = False

    def logits(self, tokens: Any, logits: Any) -> Any:
        import mlx.core as mx
        import numpy as np
        from llguidance.numpy import fill_next_token_bitmask

        # The model computes while we look up what may follow.
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        if self._begun and not self._matcher.is_stopped():
            self._matcher.consume_token(int(tokens[-1].item()))
        # The first time, the last token is that of the question.
        self._begun = True
        if self._matcher.is_error():
            raise StepError(f"an answer left its schema: {self._matcher.get_error()}")
        allowed = np.zeros(logits.shape[-1], dtype=bool)
        if self._matcher.is_stopped():
            allowed[self._ends] = True
        else:
            fill_next_token_bitmask(self._matcher, self._mask, 0)
            bits = np.unpackbits(self._mask[0].view(np.uint8), bitorder="little")[: self._tokens]
            # A model may know more tokens than its tokenizer, to round their number up.
            allowed[: len(bits)] = bits[: len(allowed)]
        return mx.where(mx.array(allowed), logits, -mx.inf)

"""Answer with MLX: a model folder, alone or with an adapter on top."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import mlx_model
from jessy_build.diagnostics import StepError
from jessy_build.runtimes.answer import Answer

UNFINISHED = "\ufffd"
"""What a decoder shows for bytes that are still waiting for the rest of their letter."""


@dataclass(frozen=True, slots=True)
class _Token:
    id: int
    last: bool
    """It ended the turn, and is no part of the answer."""


@dataclass(slots=True)
class Mlx:
    model: Any
    tokenizer: Any
    ends: frozenset[int]

    def ask(self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Answer:
        begin = time.perf_counter()
        first = None
        tokens: list[int] = []
        stopped = False
        for token in self._tokens(prompt, max_tokens, temperature, seed):
            first = first or time.perf_counter() - begin
            stopped = token.last
            if not stopped:
                tokens.append(token.id)
        took = time.perf_counter() - begin
        return Answer(self.tokenizer.decode(tokens), len(tokens), took, first or took, stopped)

    def ask_together(self, prompts: Sequence[str], max_tokens: int) -> Iterator[tuple[int, Answer]]:
        """Greedy answers, decoded as one batch: each as it ends, with the place of its prompt. For
        eight a quarter of the time of one after another. The same batch is rounded alike each
        time, but otherwise than a prompt alone."""
        from mlx_lm.generate import BatchGenerator

        count = len(prompts)
        batch = BatchGenerator(
            self.model,
            stop_tokens=[[token] for token in sorted(self.ends)],
            completion_batch_size=count,
            prefill_batch_size=count,
        )
        begin = time.perf_counter()
        try:
            inserted = batch.insert(list(map(self._ids, prompts)), [max_tokens] * count)
            places = {uid: place for place, uid in enumerate(inserted)}
            tokens: list[list[int]] = [[] for _ in prompts]
            first = [0.0] * count
            while places:
                for one in batch.next()[1]:
                    place = places[one.uid]
                    took = time.perf_counter() - begin
                    first[place] = first[place] or took
                    stopped = one.finish_reason == "stop"
                    if not stopped:
                        tokens[place].append(one.token)
                    if one.finish_reason is not None:
                        del places[one.uid]
                        said = tokens[place]
                        text = self.tokenizer.decode(said)
                        yield place, Answer(text, len(said), took, first[place], stopped)
        finally:
            batch.close()

    def stream(
        self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        tokens: list[int] = []
        shown = ""
        for token in self._tokens(prompt, max_tokens, temperature, seed):
            if token.last:
                break
            tokens.append(token.id)
            text = self.tokenizer.decode(tokens)
            if not text.endswith(UNFINISHED):
                yield text[len(shown) :]
                shown = text
        rest = self.tokenizer.decode(tokens)[len(shown) :]
        if rest:
            yield rest

    def follow(self, prompt: Sequence[int], answer: Sequence[int]) -> Any:
        """How likely each token of the vocabulary is at each place of an answer that somebody else
        gave: a NumPy array [places, vocabulary] of logarithms."""
        import mlx.core as mx
        import numpy as np
        from mlx_lm.models.cache import make_prompt_cache

        cache = make_prompt_cache(self.model)
        if len(prompt) > 1:
            self.model(mx.array([prompt[:-1]]), cache=cache)
            # The scores of the prompt itself are never computed: they may be gigabytes.
            mx.eval([layer.state for layer in cache])
        asked = mx.array([[*prompt[-1:], *answer[:-1]]])
        scores = self.model(asked, cache=cache)[0].astype(mx.float32)
        return np.array(scores - mx.logsumexp(scores, axis=-1, keepdims=True))

    def _tokens(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> Iterator[_Token]:
        import mlx.core as mx
        from mlx_lm.generate import generate_step
        from mlx_lm.sample_utils import make_sampler

        asked = mx.array(self._ids(prompt))
        mx.random.seed(seed)
        steps = generate_step(
            asked, self.model, max_tokens=max_tokens, sampler=make_sampler(temperature)
        )
        for token, _ in steps:
            last = int(token) in self.ends
            yield _Token(int(token), last)
            if last:
                return

    def _ids(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        if not ids:
            raise StepError("the prompt is empty", hint="ask something")
        return ids


@contextmanager
def open(model: Path, adapter: Path | None = None) -> Iterator[Mlx]:
    """`adapter` is a folder as the training step writes it. The memory goes back at the end."""
    opened = Mlx(mlx_model.load(model, adapter), mlx_model.tokenizer(model), mlx_model.ends(model))
    try:
        yield opened
    finally:
        opened.model = None
        mlx_model.give_back()

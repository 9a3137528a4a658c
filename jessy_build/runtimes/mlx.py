"""Answer with MLX: a model folder, alone or with an adapter on top."""

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import blas
from jessy_build.diagnostics import MissingPackage, StepError
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

    def _tokens(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> Iterator[_Token]:
        import mlx.core as mx
        from mlx_lm.generate import generate_step
        from mlx_lm.sample_utils import make_sampler

        asked = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        if not asked:
            raise StepError("the prompt is empty", hint="ask something")
        mx.random.seed(seed)
        steps = generate_step(
            mx.array(asked), self.model, max_tokens=max_tokens, sampler=make_sampler(temperature)
        )
        for token, _ in steps:
            last = int(token) in self.ends
            yield _Token(int(token), last)
            if last:
                return


@contextmanager
def open(model: Path, adapter: Path | None = None) -> Iterator[Mlx]:
    """`adapter` is a folder as the training step writes it. The memory goes back at the end."""
    opened = Mlx(_loaded(model, adapter), _tokenizer(model), _ends(model))
    try:
        yield opened
    finally:
        opened.model = None
        _give_back()


def _loaded(model: Path, adapter: Path | None) -> Any:
    try:
        blas.install()
        import mlx.core as mx
        from mlx_lm.tuner.utils import load_adapters
        from mlx_lm.utils import load_model
    except ImportError as problem:
        raise MissingPackage(
            problem.name or "mlx", needed_for="answering with MLX", install=INSTALL
        ) from None
    try:
        loaded, _ = load_model(model, lazy=True)
        if adapter is not None:
            loaded = load_adapters(loaded, str(adapter))
    except (FileNotFoundError, ValueError, KeyError, RuntimeError) as problem:
        raise StepError(
            f"MLX cannot load {model.name}: {problem}", hint="build it again with `jessy build`"
        ) from None
    if mx.default_device().type == mx.DeviceType.cpu:
        # Only fp32 is fast there.
        loaded.set_dtype(mx.float32)
    loaded.eval()
    mx.eval(loaded.parameters())
    return loaded


INSTALL = "uv pip install 'jessy-build[mlx]'"


def _tokenizer(model: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(model / "tokenizer.json"))


def _ends(model: Path) -> frozenset[int]:
    """Every token that ends a turn, as the model folder lists them."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (model / name).is_file():
            ids = json.loads((model / name).read_text("utf-8")).get("eos_token_id")
            found |= set(ids if isinstance(ids, list) else [ids])
    found.discard(None)
    return frozenset(found)


def _give_back() -> None:
    import mlx.core as mx

    gc.collect()
    mx.clear_cache()

"""Compare greedy answers of MLX and llama.cpp, token by token."""

from collections.abc import Sequence
from typing import Any

from tests.packaging.llama_server import LlamaServer

COUNT = 32


def greedy_differences(
    model: Any, tokenizer: Any, server: LlamaServer, texts: Sequence[str], near_tie: float
) -> list[str]:
    """One line for each prompt on which the two part ways for more than a rounding's reason.

    Two programs round differently. Where the two candidates are less than `near_tie` apart (in
    log-probability), either is right, and what follows cannot be compared.
    """
    found = []
    for text in texts:
        prompt = tokenizer.encode(text, add_special_tokens=False)
        ours = _greedy(model, prompt, tokenizer.eos_token_ids)
        theirs = _without(server.greedy(prompt, COUNT), tokenizer.eos_token_ids)
        if ours == theirs:
            continue
        place = next(
            (n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
            min(len(ours), len(theirs)),
        )
        gap = _gap(model, prompt + ours[:place], theirs[place : place + 1])
        if gap > near_tie:
            found.append(f"{text!r}: MLX {ours}, llama.cpp {theirs}, {gap:.3f} apart at {place}")
    return found


def unlike_choices(
    model: Any, tokenizer: Any, server: LlamaServer, texts: Sequence[str], near_tie: float
) -> list[str]:
    """The same question in one pass a prompt: would MLX, after each token, choose the next too?

    If it would at every place, its own greedy answer is this one.
    """
    import mlx.core as mx

    found = []
    for text in texts:
        prompt = tokenizer.encode(text, add_special_tokens=False)
        answer = server.greedy(prompt, COUNT)
        if len(answer) < COUNT and answer[-1:] and answer[-1] not in tokenizer.eos_token_ids:
            found.append(f"{text!r}: llama.cpp ends with {answer[-1]}, which ends nothing in MLX")
        scores = model(mx.array([prompt + answer]))[0, len(prompt) - 1 : -1].astype(mx.float32)
        gaps = scores.max(axis=-1) - mx.take_along_axis(scores, mx.array(answer)[:, None], 1)[:, 0]
        if (worst := float(gaps.max())) > near_tie:
            found.append(f"{text!r}: {worst:.3f} from MLX's choice at {int(gaps.argmax())}")
    return found


def _greedy(model: Any, prompt: list[int], ends: set[int]) -> list[int]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    tokens: list[int] = []
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=COUNT):
        if int(token) in ends:
            break
        tokens.append(int(token))
    return tokens


def _without(tokens: list[int], ends: set[int]) -> list[int]:
    return tokens[:-1] if tokens and tokens[-1] in ends else tokens


def _gap(model: Any, tokens: list[int], other: list[int]) -> float:
    """How much likelier MLX finds its own next token than llama.cpp's, or than the end."""
    import mlx.core as mx

    scores = model(mx.array([tokens]))[0, -1].astype(mx.float32)
    if not other:
        return float("inf")
    return float(scores.max() - scores[other[0]])

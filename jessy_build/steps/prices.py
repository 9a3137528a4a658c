"""Dollars, by the dated prices of the recipe: what answers cost, and the most that one can."""

import json
from collections.abc import Mapping
from typing import Any

from jessy_build.example import BATCH, Request
from jessy_build.teachers import anthropic
from jessy_build.teachers.prices import costs_nothing

MILLION = 1_000_000
HALF = 0.5
"""Of the price, for what comes with a batch."""
WRITING = 1.25
"""What a token costs that is written to a cache, in tokens of input, where the recipe says no
price: what Anthropic asks for one that is kept for five minutes."""
AROUND = 1_000
"""Tokens that a server may put around what is asked: roles, and the words that explain a schema."""


def of(config: Any) -> Mapping[str, float] | None:
    """Dollars per million tokens; None where the recipe names no prices: a figure made up is worse
    than none. A model on one's own machine costs nothing."""
    table = getattr(config, "prices", None)
    return _of(config.kind, getattr(config, "base_url", None), table and table.model_dump())


def of_resolved(teacher: Mapping[str, Any]) -> Mapping[str, float] | None:
    """As `of`, for a teacher of a recipe that was resolved in an earlier build."""
    return _of(teacher.get("kind", ""), teacher.get("base_url"), teacher.get("prices"))


def _of(
    kind: str, base_url: str | None, said: Mapping[str, Any] | None
) -> Mapping[str, float] | None:
    if costs_nothing(kind, base_url):
        return {"input": 0.0, "output": 0.0}
    if not said:
        return None
    input = said["input"]
    cached, write = said.get("cached_input"), said.get("cache_write")
    return {
        "input": input,
        "output": said["output"],
        "cached_input": input if cached is None else cached,
        "cache_write": WRITING * input if write is None else write,
    }


def dollars(
    prices: Mapping[str, float],
    read: float,
    written: float,
    cached: float = 0,
    cache_written: float = 0,
) -> float:
    paid = read * prices["input"] + written * prices["output"]
    paid += cached * prices.get("cached_input", 0) + cache_written * prices.get("cache_write", 0)
    return paid / MILLION


def of_usage(prices: Mapping[str, float], measures: Mapping[str, float]) -> float:
    """`measures` as `Usage.measures`; what came with a batch costs half."""
    return _one_way(prices, measures, "") + HALF * _one_way(prices, measures, BATCH)


def _one_way(prices: Mapping[str, float], measures: Mapping[str, float], before: str) -> float:
    return dollars(
        prices,
        measures.get(f"{before}input_tokens", 0),
        measures.get(f"{before}output_tokens", 0),
        measures.get(f"{before}cached_input_tokens", 0),
        measures.get(f"{before}cache_write_tokens", 0),
    )


def both_ways(measures: Mapping[str, float], name: str) -> float:
    """What came by itself and what came with batches, of one measure."""
    return measures.get(name, 0) + measures.get(f"{BATCH}{name}", 0)


def of_a_try(prices: Mapping[str, float], request: Request) -> float:
    """What it can cost to ask once and to have the answer put right: that is sent back whole."""
    back = prices["input"] * (request.max_tokens + AROUND) / MILLION
    return 2 * at_most(prices, request) + back


def at_most(prices: Mapping[str, float], request: Request) -> float:
    """What one try of it can cost: a text has at most as many tokens as bytes."""
    dearest = max(prices["input"], prices.get("cached_input", 0))
    if request.provider == "anthropic" and anthropic.constant_part(request):
        dearest = max(dearest, prices.get("cache_write", 0))
    sent = json.dumps(request.question, ensure_ascii=False).encode(errors="surrogatepass")
    return dollars({**prices, "input": dearest}, len(sent) + AROUND, request.max_tokens)

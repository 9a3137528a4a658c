"""Dollars, by the dated prices of the recipe: what answers cost, and the most that one can."""

import json
from collections.abc import Mapping
from typing import Any

from jessy_build.example import Request
from jessy_build.teachers.prices import costs_nothing

MILLION = 1_000_000
AROUND = 1_000
"""Tokens that a server may put around what is asked: roles, and the words that explain a schema."""


def of(config: Any) -> Mapping[str, float] | None:
    """Dollars per million tokens. A model on one's own machine costs nothing."""
    if costs_nothing(config.kind, getattr(config, "base_url", None)):
        return {"input": 0.0, "output": 0.0}
    table = getattr(config, "prices", None)
    if table is None:
        return None
    cached = table.input if table.cached_input is None else table.cached_input
    return {"input": table.input, "output": table.output, "cached_input": cached}


def dollars(prices: Mapping[str, float], read: float, written: float, cached: float = 0) -> float:
    paid = read * prices["input"] + written * prices["output"]
    return (paid + cached * prices.get("cached_input", 0)) / MILLION


def of_usage(prices: Mapping[str, float], usage: Mapping[str, float]) -> float:
    return dollars(
        prices,
        usage.get("input_tokens", 0),
        usage.get("output_tokens", 0),
        usage.get("cached_input_tokens", 0),
    )


def at_most(prices: Mapping[str, float], request: Request) -> float:
    """What one try of it can cost: a text has at most as many tokens as bytes."""
    dearest = max(prices["input"], prices.get("cached_input", 0))
    sent = json.dumps(request.question, ensure_ascii=False).encode(errors="surrogatepass")
    return dollars({**prices, "input": dearest}, len(sent) + AROUND, request.max_tokens)

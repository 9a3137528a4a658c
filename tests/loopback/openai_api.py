"""OpenAI's chat API as far as a client that does not stream can tell."""

import json
from typing import Any

from tests.loopback.server import Loopback, Seen, Status, Step


class OpenAIServer(Loopback):
    """Answers every question with an example that repeats it."""

    def usual(self, seen: Seen) -> Step:
        if seen.path != "/v1/chat/completions":
            return error(404, f"no route {seen.path}")
        asked = seen.body["messages"][-1]["content"]
        return said(json.dumps({"user": asked, "assistant": f"cevap: {asked}"}), seen.body["model"])


class Renamed(OpenAIServer):
    """Refuses the old name of the limit, and a seed, as newer models do."""

    def usual(self, seen: Seen) -> Step:
        if "max_tokens" in seen.body:
            return unsupported("max_tokens", "Use 'max_completion_tokens' instead.")
        if "seed" in seen.body:
            return unsupported("seed", "")
        return super().usual(seen)


def said(
    text: str | None,
    model: str = "smollm2",
    *,
    finish_reason: str | None = "stop",
    refusal: str | None = None,
    usage: dict[str, Any] | None = None,
) -> Status:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, **(usage or {})},
    }
    return Status(200, body, {"x-request-id": "req_loopback"})


def uncounted(text: str) -> Status:
    """As from a server that does not say how many tokens it took."""
    whole = said(text)
    return Status(200, {**whole.body, "usage": None})


def error(status: int, message: str, code: str | None = None, **headers: str) -> Status:
    """`retry_after_ms="10"` becomes the header retry-after-ms."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return Status(status, body, {key.replace("_", "-"): value for key, value in headers.items()})


def unsupported(field: str, instead: str) -> Status:
    said = f"Unsupported parameter: '{field}' is not supported with this model. {instead}"
    return error(400, said, "unsupported_parameter")


def rate_limited(after_ms: int = 10) -> Status:
    return error(429, "slow down", "rate_limit_exceeded", retry_after_ms=str(after_ms))


def failed(status: int = 500, after_ms: int = 10) -> Status:
    return error(status, "the server had an error", retry_after_ms=str(after_ms))


def spent() -> Status:
    return error(429, "You exceeded your current quota.", "insufficient_quota")

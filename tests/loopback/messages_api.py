"""Anthropic's Messages API as far as a client that asks one question at a time can tell."""

import json
from typing import Any

from tests.loopback.server import Loopback, Seen, Status, Step


class MessagesServer(Loopback):
    """Answers every question with an example that repeats it."""

    def usual(self, seen: Seen) -> Step:
        if seen.path != "/v1/messages":
            return error(404, "not_found_error", f"no route {seen.path}")
        asked = seen.body["messages"][-1]["content"]
        return said(json.dumps({"user": asked, "assistant": f"cevap: {asked}"}), seen.body["model"])


def said(
    text: str, model: str = "claude-haiku-5-5", *, stop_reason: str = "end_turn", **usage: Any
) -> Status:
    body = {
        "id": "msg_loopback",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7, **usage},
    }
    return Status(200, body, {"request-id": "req_loopback"})


def error(status: int, kind: str, message: str, code: str = "", **headers: str) -> Status:
    """`retry_after_ms="10"` becomes the header retry-after-ms."""
    details = {"details": {"error_code": code}} if code else {}
    body = {"type": "error", "error": {"type": kind, "message": message, **details}}
    return Status(status, body, {key.replace("_", "-"): value for key, value in headers.items()})


def rate_limited(after_ms: int = 10) -> Status:
    return error(429, "rate_limit_error", "slow down", retry_after_ms=str(after_ms))


def overloaded(after_ms: int = 10) -> Status:
    return error(529, "overloaded_error", "overloaded", retry_after_ms=str(after_ms))


def failed(after_ms: int = 10) -> Status:
    return error(500, "api_error", "internal error", retry_after_ms=str(after_ms))


def spent() -> Status:
    message = "You have reached your API usage limits."
    return error(429, "rate_limit_error", message, "enforced_spend_limit_reached")

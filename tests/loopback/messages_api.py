"""Anthropic's Messages API as far as a client that asks one question at a time can tell."""

import json
import time
from typing import Any

from tests.loopback.server import Loopback, Seen, Slow, Status, Step


class MessagesServer(Loopback):
    """Answers every question with an example that repeats it."""

    def usual(self, seen: Seen) -> Step:
        if seen.path != "/v1/messages":
            return error(404, "not_found_error", f"no route {seen.path}")
        asked = seen.body["messages"][-1]["content"]
        return said(json.dumps({"user": asked, "assistant": f"cevap: {asked}"}), seen.body["model"])


class CachingServer(MessagesServer):
    """Keeps what is marked from the moment its first answer begins, as the real one does."""

    SHORTEST = 1024
    """Tokens, of four letters each here."""

    def __init__(self, *script: Step, seconds: float = 0.0) -> None:
        super().__init__(*script)
        self.seconds = seconds
        self._kept: dict[str, float] = {}

    def usual(self, seen: Seen) -> Step:
        usual = super().usual(seen)
        assert isinstance(usual, Status)
        marked = [
            block["text"]
            for block in seen.body.get("system", ())
            if isinstance(block, dict) and block.get("cache_control") == {"type": "ephemeral"}
        ]
        now = time.monotonic()
        for text in marked:
            tokens = len(text) // 4
            if tokens >= self.SHORTEST:
                read = self._kept.get(text, now + 1) <= now
                self._kept.setdefault(text, now + self.seconds)
                word = "cache_read_input_tokens" if read else "cache_creation_input_tokens"
                usual.body["usage"][word] = tokens
        return Slow(self.seconds, usual) if self.seconds else usual


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

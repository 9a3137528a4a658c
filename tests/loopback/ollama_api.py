"""Ollama's chat API as far as a client that does not stream can tell."""

import json
from typing import Any

from tests.loopback.server import Loopback, Seen, Status, Step


class OllamaServer(Loopback):
    """Has one model, and answers every question with an example that repeats it."""

    model = "gemma3:4b"

    def usual(self, seen: Seen) -> Step:
        if seen.path != "/api/chat":
            return Status(404, "404 page not found", {"content-type": "text/plain"})
        if seen.body["model"] != self.model:
            return error(404, f"model '{seen.body['model']}' not found")
        asked = seen.body["messages"][-1]["content"]
        return said(json.dumps({"user": asked, "assistant": f"cevap: {asked}"}), self.model)


def said(
    text: str, model: str = "gemma3:4b", *, done_reason: str | None = "stop", **more: Any
) -> Status:
    body = {
        "model": model,
        "created_at": "2026-11-01T12:00:00.0Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "total_duration": 900_000_000,
        "load_duration": 100_000_000,
        "prompt_eval_count": 13,
        "prompt_eval_duration": 200_000_000,
        "eval_count": 8,
        "eval_duration": 600_000_000,
        **more,
    }
    return Status(200, body if done_reason is None else {**body, "done_reason": done_reason})


def error(status: int, message: str) -> Status:
    return Status(status, {"error": message})

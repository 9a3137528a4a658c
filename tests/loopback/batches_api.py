"""Anthropic's Message Batches as far as a client can tell: made, looked at, listed, fetched."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.loopback.messages_api import MessagesServer, error
from tests.loopback.server import Seen, Status, Step

ROOT = "/v1/messages/batches"


class BatchesServer(MessagesServer):
    """Also answers single questions. A batch is over at the look number `looks`."""

    def __init__(self, *script: Step, looks: int = 1) -> None:
        super().__init__(*script)
        self.looks = looks
        self.batches: list[dict[str, Any]] = []
        """In the order in which they were made; `requests` are what was sent."""
        self.fate: Callable[[dict[str, Any]], str] = lambda request: "succeeded"
        """Of each request: succeeded, errored, canceled or expired."""
        self.text: Callable[[str], str] = lambda asked: json.dumps(
            {"user": asked, "assistant": "b"}
        )
        self.when: Callable[[Seen], Step | None] = lambda seen: None
        """A fault instead of an answer: looked at before anything happens."""
        self._making = threading.Lock()

    @property
    def answered(self) -> int:
        """What was paid for: single answers, and answers in batches."""
        return len(self.single) + sum(self._counts(batch)["succeeded"] for batch in self.batches)

    @property
    def single(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == "/v1/messages"]

    def usual(self, seen: Seen) -> Step:
        if fault := self.when(seen):
            return fault
        path = seen.path.partition("?")[0]
        if not path.startswith(ROOT):
            return super().usual(seen)
        if path == ROOT:
            return self.make(seen.body["requests"]) if seen.method == "POST" else self._list()
        id, _, rest = path.removeprefix(f"{ROOT}/").partition("/")
        batch = next((b for b in self.batches if b["id"] == id), None)
        if batch is None:
            return error(404, "not_found_error", "no such batch")
        if rest == "results":
            return Status(200, self._results(batch), {"content-type": "application/x-jsonl"})
        batch["looks"] += 1
        return Status(200, self._shown(batch))

    def make(self, requests: list[dict[str, Any]]) -> Status:
        with self._making:
            id = f"msgbatch_{len(self.batches) + 1:02d}"
            made = {"id": id, "requests": requests, "looks": 0, "at": datetime.now(UTC)}
            self.batches.append(made)
        return Status(200, self._shown(made))

    def _list(self) -> Status:
        shown = [self._shown(batch) for batch in reversed(self.batches)]
        return Status(200, {"data": shown, "has_more": False, "first_id": None, "last_id": None})

    def _is_over(self, batch: dict[str, Any]) -> bool:
        return bool(batch["looks"] >= self.looks)

    def _counts(self, batch: dict[str, Any]) -> dict[str, int]:
        over = self._is_over(batch)
        names = ("succeeded", "errored", "canceled", "expired")
        fates = [self.fate(request) for request in batch["requests"]] if over else []
        waiting = 0 if over else len(batch["requests"])
        return {"processing": waiting, **{name: fates.count(name) for name in names}}

    def _shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        over = self._is_over(batch)
        return {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended" if over else "in_progress",
            "request_counts": self._counts(batch),
            "created_at": batch["at"].isoformat(),
            "expires_at": (batch["at"] + timedelta(days=1)).isoformat(),
            "ended_at": batch["at"].isoformat() if over else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.url}{ROOT}/{batch['id']}/results" if over else None,
        }

    def _results(self, batch: dict[str, Any]) -> str:
        # Not in the order in which they were sent: nobody may rely on it.
        rows = [
            {"custom_id": request["custom_id"], "result": self._result(request)}
            for request in reversed(batch["requests"])
        ]
        return "".join(json.dumps(row) + "\n" for row in rows)

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        fate = self.fate(request)
        if fate == "errored":
            told = {"type": "invalid_request_error", "message": "not this one"}
            return {"type": fate, "error": {"type": "error", "error": told}}
        if fate != "succeeded":
            return {"type": fate}
        asked = request["params"]["messages"][-1]["content"]
        message = super().usual(Seen("POST", "/v1/messages", {}, request["params"]))
        assert isinstance(message, Status)
        message.body["content"] = [{"type": "text", "text": self.text(asked)}]
        return {"type": fate, "message": message.body}

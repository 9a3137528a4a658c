"""The service behind Weights & Biases, as far as a run that logs numbers can tell."""

import json
import threading
from typing import Any

from tests.loopback.server import Loopback, Seen, Status, Step

HISTORY = "wandb-history.jsonl"


class WandbServer(Loopback):
    """Keeps the rows of its one run, and knows the run once it was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, Any] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        """By offset: rows that are sent to a place again take it."""
        self.exit_codes: list[int] = []
        self._keeping = threading.Lock()

    def usual(self, seen: Seen) -> Step:
        if seen.path.endswith("/file_stream"):
            self._keep(seen.body)
            return Status(200, {})
        known = {
            "RunResumeStatus": {"model": {**self._project, "bucket": self._bucket}},
            "UpsertBucket": self._begin(seen.body),
            "CreateRunFiles": {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}},
        }
        return Status(200, {"data": known.get(seen.body.get("operationName"), {})})

    @property
    def told(self) -> list[dict[str, Any]]:
        return [row for _, row in sorted(self.rows.items())]

    @property
    def _project(self) -> dict[str, Any]:
        return {"id": "p", "name": "jessy", "entity": {"id": "e", "name": "us"}}

    @property
    def _bucket(self) -> dict[str, Any] | None:
        if not self.begun:
            return None
        tail = json.dumps([json.dumps(row) for row in self.told[-1:]])
        return {
            "id": "r",
            "name": self.begun["name"],
            "displayName": self.begun["displayName"],
            "summaryMetrics": "{}",
            "config": "{}",
            "tags": [],
            "notes": "",
            "historyLineCount": len(self.rows),
            "historyTail": tail,
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "wandbConfig": '{"t": 1}',
        }

    def _begin(self, body: Any) -> dict[str, Any]:
        if body.get("operationName") != "UpsertBucket":
            return {}
        fresh = not self.begun
        self.begun = self.begun or body["variables"]
        bucket = {"id": "r", "name": self.begun["name"], "project": self._project, "config": "{}"}
        return {"upsertBucket": {"bucket": bucket, "inserted": fresh}}

    def _keep(self, body: Any) -> None:
        with self._keeping:
            if (history := body.get("files", {}).get(HISTORY)) is not None:
                for at, line in enumerate(history["content"], history["offset"]):
                    self.rows[at] = json.loads(line)
            if body.get("complete"):
                self.exit_codes.append(body["exitcode"])

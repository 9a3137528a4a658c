"""A server that passes each question on to a real one, and counts what was asked and answered."""

import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from tests.loopback.server import Connection, Drop, Loopback, Seen, Step

LOOKED_EVERY = 0.05
LONGEST = 300.0


@dataclass
class Passed:
    """A question that came by. `answer` is set once the whole answer went out to the client."""

    body: Any
    answer: Any = None


class PassingOn(Loopback):
    """Stands before the server at `url`. A client that leaves takes its question along, so that
    the real server is free again."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.to = url
        self.passed: list[Passed] = []

    def usual(self, seen: Seen) -> Step:
        if seen.body is None:
            # Its client was killed between head and body: nobody asked anything.
            return Drop()
        passed = Passed(seen.body)
        self.passed.append(passed)
        return _PassOn(self.to, seen, passed)

    @property
    def answered(self) -> int:
        return sum(passed.answer is not None for passed in self.passed)


@dataclass(frozen=True)
class _PassOn:
    to: str
    seen: Seen
    passed: Passed

    def play(self, connection: Connection) -> None:
        asking = _Asking(self.to, self.seen)
        asking.thread.start()
        while asking.thread.is_alive():
            if connection.left_within(LOOKED_EVERY):
                asking.leave()
                return
        if asking.answer is None:
            connection.reset()
            return
        status, data = asking.answer
        connection.head(status, {}, len(data))
        if connection.send(data) and status == 200:
            self.passed.answer = json.loads(data)


@dataclass
class _Asking:
    """One request to the real server, which can be left while it is being answered."""

    to: str
    seen: Seen
    answer: tuple[int, bytes] | None = None
    thread: threading.Thread = field(init=False)
    upstream: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.upstream = HTTPConnection(urlsplit(self.to).netloc, timeout=LONGEST)
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def leave(self) -> None:
        if (sock := self.upstream.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()

    def _ask(self) -> None:
        # A server that was left, or that went away, has no answer: that is all there is to say.
        with suppress(OSError, HTTPException):
            self._whole()

    def _whole(self) -> None:
        headers = {"content-type": "application/json"}
        data = json.dumps(self.seen.body).encode()
        self.upstream.request(self.seen.method, self.seen.path, data, headers)
        response = self.upstream.getresponse()
        self.answer = response.status, response.read()
        self.upstream.close()

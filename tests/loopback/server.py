"""A scripted HTTP server: counts requests, and answers each with the next step of its script."""

import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Status:
    """A whole response. A text goes out as it is, anything else as JSON."""

    status: int
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def play(self, connection: "Connection") -> None:
        connection.respond(self.status, self.body, self.headers)


@dataclass(frozen=True)
class Drop:
    """The connection is reset before one byte of an answer."""

    def play(self, connection: "Connection") -> None:
        connection.reset()


@dataclass(frozen=True)
class HalfBody:
    """A good response whose connection ends in the middle of the body."""

    whole: Status

    def play(self, connection: "Connection") -> None:
        connection.respond(self.whole.status, self.whole.body, self.whole.headers, part=0.5)
        connection.reset()


@dataclass(frozen=True)
class Slow:
    """The answer comes after so many seconds, or never, when the client leaves before."""

    seconds: float
    then: "Step"

    def play(self, connection: "Connection") -> None:
        if not connection.left_within(self.seconds):
            self.then.play(connection)


@dataclass(frozen=True)
class Drip:
    """A byte now and then, forever: never silent long enough for a limit between bytes."""

    pause: float

    def play(self, connection: "Connection") -> None:
        connection.head(200, {}, length=1_000_000)
        while not connection.left_within(self.pause) and connection.send(b" "):
            pass


class Step(Protocol):
    def play(self, connection: "Connection") -> None: ...


class Connection:
    """What a step may do with the client that waits."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self._handler = handler
        self._stopping = stopping

    def respond(
        self, status: int, body: Any, headers: Mapping[str, str], part: float = 1.0
    ) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.head(status, headers, len(data))
        self.send(data[: int(len(data) * part)])

    def head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self._handler.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(length),
            **headers,
        }.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send(self, data: bytes) -> bool:
        """False when nobody takes it any more."""
        try:
            self._handler.wfile.write(data)
            self._handler.wfile.flush()
        except OSError:
            return False
        return True

    def reset(self) -> None:
        # Linger on with zero seconds: the client meets a reset, as from a crashed server.
        linger = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._handler.close_connection = True
        self._handler.connection.close()

    def left_within(self, seconds: float) -> bool:
        """Waits; True as soon as the client has closed its side, or the test is over."""
        connection = self._handler.connection
        waited = 0.0
        while waited < seconds:
            if self._stopping.is_set():
                return True
            connection.settimeout(0.02)
            try:
                if connection.recv(1, socket.MSG_PEEK) == b"":
                    return True
            except TimeoutError:
                pass
            except OSError:
                return True
            finally:
                connection.settimeout(None)
            waited += 0.02
        return False


class Loopback:
    """A server to be used in a `with`. Without a script, `usual` answers every request."""

    def __init__(self, *script: Step) -> None:
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self._script = list(script)
        self._lock = threading.Lock()
        self._now = 0
        self._stopping = threading.Event()
        self._server = _server(self)

    def usual(self, seen: Seen) -> Step:
        return Status(404)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def count(self) -> int:
        return len(self.seen)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        seen = _read(handler)
        with self._lock:
            self.seen.append(seen)
            step = self._script.pop(0) if self._script else self.usual(seen)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        connection = Connection(handler, self._stopping)
        try:
            step.play(connection)
        finally:
            with self._lock:
                self._now -= 1


def _read(handler: BaseHTTPRequestHandler) -> Seen:
    data = handler.rfile.read(int(handler.headers.get("content-length", "0")))
    return Seen(
        method=handler.command,
        path=handler.path,
        headers={name.lower(): value for name, value in handler.headers.items()},
        body=json.loads(data) if data else None,
    )


def _server(loopback: Loopback) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body leave in two writes; waiting to join them costs 40 ms a response.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            loopback.serve(self)

        def do_POST(self) -> None:
            loopback.serve(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            # A reset connection is what the script asked for.
            pass

    return Server(("127.0.0.1", 0), Handler)

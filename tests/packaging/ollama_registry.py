"""Ollama's deployment API on loopback, in memory, with a fault at any one point."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Registry:
    render: Callable[[list[dict[str, str]]], str]
    """What the server's template makes of messages."""
    fault: str = ""
    url: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    adds_bos: bool | None = False
    dead: bool = False

    def count(self, start: str) -> int:
        return sum(1 for line in self.asked if line.startswith(start))


@contextmanager
def serve(registry: Registry) -> Iterator[Registry]:
    class Handler(_Handler):
        pass

    Handler.registry = registry
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._dispatch()

    def do_GET(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def do_DELETE(self) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        here = self.registry
        if here.dead:
            return self._hang_up()
        here.asked.append(f"{self.command} {self.path}")
        if self.path.startswith("/api/blobs/"):
            return self._blob(self.path.removeprefix("/api/blobs/"))
        body = self._body()
        match self.command, self.path:
            case "GET", "/api/version":
                return self._say(200, {"version": "0.24.0"})
            case "GET", "/api/tags":
                listed = [{"name": k, "digest": v} for k, v in here.tags.items()]
                return self._say(200, {"models": listed or None})
            case "POST", "/api/create":
                return self._create(body)
            case "POST", "/api/show":
                info = (
                    {} if here.adds_bos is None else {"tokenizer.ggml.add_bos_token": here.adds_bos}
                )
                return self._say(200, {"model_info": info})
            case "POST", "/api/chat":
                return self._chat(body)
            case "POST", "/api/copy":
                return self._copy(body)
            case "DELETE", "/api/delete":
                known = here.tags.pop(body["model"], None)
                return self._say(200 if known else 404, {} if known else {"error": "not found"})
        return self._say(404, "404 page not found")

    def _blob(self, name: str) -> None:
        here = self.registry
        if self.command == "HEAD":
            return self._say(200 if name in here.blobs else 404, {})
        length = int(self.headers["content-length"])
        if here.fault == "upload drops":
            self.rfile.read(length // 2)
            return self._hang_up()
        if here.fault == "upload is refused at once":
            self._say(507, {"error": "write: no space left on device"})
            return self._hang_up()
        data = self.rfile.read(length)
        got = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if got != name or here.fault == "digest mismatch":
            words = f'digest mismatch, expected "{name}", got "{got}"'
            return self._say(400, {"error": words})
        here.blobs[name] = data
        return self._say(201, {})

    def _create(self, body: dict[str, Any]) -> None:
        here = self.registry
        here.created.append(body)
        if here.fault == "create is refused":
            return self._say(500, {"error": 'unsupported architecture "OwlForCausalLM"'})
        if here.fault == "create cannot read the template":
            return self._say(400, {"error": "template error: template: :1: unexpected EOF"})
        if here.fault == "create drops":
            return self._hang_up()
        lines: list[dict[str, Any]] = [{"status": "parsing GGUF"}]
        if here.fault == "create fails in the middle":
            lines.append({"error": "quantization is only supported for F16, BF16 and F32 models"})
            return self._lines(lines)
        here.tags[body["model"]] = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        if here.fault == "create ends early":
            return self._lines(lines)
        if here.fault == "create breaks off":
            return self._lines([*lines, {"status": "writing manifest"}], whole=False)
        return self._lines([*lines, {"status": "writing manifest"}, {"status": "success"}])

    def _chat(self, body: dict[str, Any]) -> None:
        here = self.registry
        assert body["model"] in here.tags
        if body.get("_debug_render_only"):
            sent = here.render(body["messages"])
            if here.fault == "another prompt":
                sent = sent.replace("assistant", "model", 1)
            if here.fault == "no proof":
                return self._say(200, {"message": {"content": "an answer"}, "done": True})
            return self._say(200, {"_debug_info": {"rendered_template": sent}})
        if here.fault == "no answer":
            return self._say(500, {"error": "model requires more system memory (9 GiB)"})
        content = " \n" if here.fault == "empty answer" else "selam kanka"
        return self._say(200, {"message": {"role": "assistant", "content": content}, "done": True})

    def _copy(self, body: dict[str, str]) -> None:
        here = self.registry
        to_live = body["source"].endswith("-candidate")
        if to_live and here.fault == "gone before the copy":
            here.dead = True
            return self._hang_up()
        if body["destination"].endswith(":previous") and here.fault == "previous cannot be kept":
            return self._say(500, {"error": "disk trouble"})
        if to_live and here.fault == "first copy fails":
            return self._say(500, {"error": "disk trouble"})
        if to_live and body["destination"].endswith(":latest"):
            if here.fault == "second copy fails":
                return self._say(500, {"error": "disk trouble"})
            if here.fault == "second copy is another":
                here.tags[body["destination"]] = "0" * 64
                return self._say(200, {})
        here.tags[body["destination"]] = here.tags[body["source"]]
        return self._say(200, {})

    def _body(self) -> Any:
        data = self.rfile.read(int(self.headers.get("content-length", "0")))
        return json.loads(data) if data else None

    def _say(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _lines(self, lines: list[dict[str, Any]], *, whole: bool = True) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in lines:
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if not whole:
            return self._hang_up()
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _hang_up(self) -> None:
        """A reset, as from a server that crashed."""
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass

"""Ollama's model API as far as a deploy can tell: takes a GGUF, keeps tags, renders ChatML.

It runs nothing. The real server is asked in tests/packaging and tests/steps/test_deploy.py.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

VERSION = "0.24.0"


class ModelServer:
    """To be used in a `with`. `models` is what it serves: tag → digest."""

    def __init__(self) -> None:
        self.models: dict[str, str] = {}
        self.blobs: set[str] = set()
        self.answering = "assistant"
        """How the prompts that it renders end."""
        self.fault: Callable[[str, str, Any], bool] = lambda method, path, asked: False
        """Which requests are refused."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and document; a list is sent line by line."""
        if path.startswith("/api/blobs/"):
            return self._blob(method, path.rpartition("/")[2])
        asked = json.loads(body) if body else {}
        if self.fault(method, path, asked):
            return 500, {"error": "disk trouble"}
        match method, path:
            case "GET", "/api/version":
                return 200, {"version": VERSION}
            case "GET", "/api/tags":
                tags = [{"name": name, "digest": made} for name, made in self.models.items()]
                return 200, {"models": tags}
            case "POST", "/api/create":
                self.models[asked["model"]] = _digest({**asked, "model": ""})
                return 200, [{"status": "creating"}, {"status": "success"}]
            case "POST", "/api/show":
                return 200, {"model_info": {"tokenizer.ggml.add_bos_token": False}}
            case "POST", "/api/chat":
                return 200, _chat(asked, self.answering)
            case "POST", "/api/copy":
                self.models[asked["destination"]] = self.models[asked["source"]]
                return 200, {}
            case "DELETE", "/api/delete":
                return (200, {}) if self.models.pop(asked["model"], None) else (404, {"error": "?"})
        return 404, {"error": f"no route {method} {path}"}

    def _blob(self, method: str, name: str) -> tuple[int, Any]:
        if method == "HEAD":
            return (200 if name in self.blobs else 404), {}
        self.blobs.add(name)
        return 201, {}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _chat(asked: Any, answering: str) -> dict[str, Any]:
    turns = "".join(
        f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in asked["messages"]
    )
    if asked.get("_debug_render_only"):
        return {"_debug_info": {"rendered_template": f"{turns}<|im_start|>{answering}\n"}}
    return {"message": {"role": "assistant", "content": "fine"}, "done": True}


def _handler(models: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, said = models.answer(self.command, self.path, body)
            lines = said if isinstance(said, list) else [said]
            data = "".join(json.dumps(line) + "\n" for line in lines).encode()
            self.send_response(status)
            self.send_header("content-length", str(0 if self.command == "HEAD" else len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = do_DELETE = _any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler

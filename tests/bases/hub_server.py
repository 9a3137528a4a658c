"""A model hub on loopback: as much of its API as the real huggingface_hub client asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPO = "tiny/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    files: dict[str, bytes]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    gated: bool = False
    damage: set[str] = field(default_factory=set)
    """Files whose bytes are not what the listing says, at the same length."""
    cut: dict[str, int] = field(default_factory=dict)
    """Files whose connection ends after so many bytes, once."""

    def downloads(self, name: str) -> int:
        return sum(1 for line in self.asked if line == f"GET /{REPO}/resolve/{COMMIT}/{name}")


@contextmanager
def serve(folder: Path, **more: object) -> Iterator[Hub]:
    hub = Hub({p.name: p.read_bytes() for p in folder.iterdir()}, **more)  # type: ignore[arg-type]

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body=body)
        elif not path.removeprefix("/api/models").startswith(f"/{REPO}/"):
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif COMMIT not in path:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith(f"/api/models/{REPO}/tree/"):
            self._send(200, json.dumps(_tree(self.hub.files)).encode(), {}, body=body)
        elif path == f"/api/models/{REPO}/revision/{COMMIT}":
            self._send(200, json.dumps(_info(self.hub.files)).encode(), {}, body=body)
        else:
            self._file(path.rpartition("/")[2], body=body)

    def _file(self, name: str, *, body: bool) -> None:
        data = self.hub.files[name]
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{_etag(name, data)}"',
            "Accept-Ranges": "bytes",
        }
        if name in self.hub.damage:
            data = bytes(reversed(data))
        status, start = 200, 0
        if (wanted := self.headers.get("range")) and body:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status = 206
        self._send(
            status,
            data[start:],
            headers,
            body=body,
            cut=self.hub.cut.pop(name, None) if body else None,
        )

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        *,
        body: bool,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _tree(files: dict[str, bytes]) -> list[dict[str, object]]:
    return [_entry(name, data) for name, data in files.items()]


def _info(files: dict[str, bytes]) -> dict[str, object]:
    return {"id": REPO, "sha": COMMIT, "siblings": [_sibling(*file) for file in files.items()]}


def _sibling(name: str, data: bytes) -> dict[str, object]:
    sibling: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": _git(data)}
    if name.endswith((".safetensors", ".bin")):
        sha256 = hashlib.sha256(data).hexdigest()
        sibling["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
    return sibling


def _entry(name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": _git(data),
    }
    if name.endswith((".safetensors", ".bin")):
        oid = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
    return entry


def _etag(name: str, data: bytes) -> str:
    large = name.endswith((".safetensors", ".bin"))
    return hashlib.sha256(data).hexdigest() if large else _git(data)


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

"""A package index on loopback, with wheels made on the spot: real uv and real pip fetch from it."""

import hashlib
import io
import threading
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Index:
    wheels: dict[str, bytes]
    """File name → content."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    pause: threading.Event = field(default_factory=threading.Event)
    """When set, wheels never come to their end."""

    @property
    def downloads(self) -> int:
        return sum(1 for line in self.asked if line.startswith("GET /files/"))


def wheel(package: str, version: str, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    kind = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {
        **files,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": kind.encode(),
    }
    record = "".join(f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


def _hash(data: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@contextmanager
def serve(*wheels: tuple[str, bytes]) -> Iterator[Index]:
    index = Index(dict(wheels))

    class Handler(_Handler):
        pass

    Handler.index = index
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield index
    finally:
        index.pause.clear()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    index: Index
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        self.index.asked.append(f"{self.command} {self.path}")
        first, _, rest = self.path.strip("/").partition("/")
        if first == "files" and rest in self.index.wheels:
            self._send(200, self.index.wheels[rest], "application/octet-stream", body=body)
        elif first == "simple" and (page := self._page(rest.strip("/"))):
            self._send(200, page.encode(), "text/html", body=body)
        else:
            self._send(404, b"no such thing", "text/plain", body=body)

    def _page(self, package: str) -> str:
        names = [n for n in self.index.wheels if n.startswith(package.replace("-", "_") + "-")]
        return "".join(
            f'<a href="/files/{name}#sha256={hashlib.sha256(self.index.wheels[name]).hexdigest()}">'
            f"{name}</a><br>"
            for name in names
        )

    def _send(self, status: int, data: bytes, kind: str, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        if kind == "application/octet-stream" and self.index.pause.is_set():
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            while self.index.pause.is_set():
                threading.Event().wait(0.02)
            return
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass

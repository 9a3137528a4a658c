"""Ollama's HTTP API, as far as models are put there, named and removed. Errors are in words."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from jessy_build import digest, hosts
from jessy_build.diagnostics import StepError
from jessy_build.packaging import glance

QUICK_SECONDS = 30.0
PATIENT_SECONDS = 600.0
"""Between two lines of an answer: quantising and loading a large model are silent for long."""

_HINTS: Mapping[str, str] = {
    "quantization is only supported": "export the GGUF as f16, or leave deploy.ollama.quantize out",
    "unsupported quantization type": "Ollama quantises to q8_0, q4_K_M and q4_K_S",
    "unsupported architecture": "this server cannot run the base; a newer Ollama may",
    "no space left": "make room where Ollama keeps its models, then build again",
    "template error": "the chat template of the base gave a template that Ollama cannot read",
    "requires a newer version": "update Ollama, then build again",
    "requires more system memory": "free memory, or choose a smaller base or modelfile num_ctx",
}


class Server:
    """Ollama's HTTP API, one connection a request. Redirects are never followed."""

    def __init__(self, host: str, *, allow_remote: bool) -> None:
        self.host = host
        self.url = glance.split(host)
        if not allow_remote and not hosts.is_loopback(host):
            raise StepError(
                f"{host} is not this machine, and nothing names it as the place to deploy to",
                hint="set OLLAMA_HOST to it to allow that",
            )

    def get(self, path: str, *, what: str) -> dict[str, Any]:
        with self._answer("GET", path, None, QUICK_SECONDS, what) as response:
            return _object(response.read())

    def ask(self, path: str, body: Mapping[str, Any], *, what: str) -> dict[str, Any]:
        with self._answer("POST", path, body, PATIENT_SECONDS, what) as response:
            return _object(response.read())

    def stream(self, method: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        with self._answer(method, path, body, PATIENT_SECONDS, "create the model") as response:
            while line := response.readline():
                if line.strip():
                    yield _object(line)

    def copy(self, source: str, destination: str) -> None:
        body = {"source": source, "destination": destination}
        with self._answer("POST", "/api/copy", body, QUICK_SECONDS, f"copy to {destination}") as r:
            r.read()

    def delete(self, tag: str) -> None:
        body = {"model": tag}
        with self._answer("DELETE", "/api/delete", body, QUICK_SECONDS, f"delete {tag}") as r:
            r.read()

    def digests(self) -> dict[str, str]:
        """Tag → digest of all that it has."""
        listed = self.get("/api/tags", what="list its models")
        return {m["name"]: m["digest"] for m in listed.get("models") or ()}

    def has_blob(self, name: str) -> bool:
        connection = _connect(self.url, QUICK_SECONDS)
        with _talking(self.host, connection, "look for the model file"):
            connection.request("HEAD", f"{self.url.path}/api/blobs/{name}")
            return connection.getresponse().status == 200

    def put_blob(self, name: str, path: Path, sent: Callable[[int], None]) -> None:
        what = "take the model file"
        connection = _connect(self.url, PATIENT_SECONDS)
        headers = {"Content-Length": str(path.stat().st_size)}
        with _talking(self.host, connection, what):
            # It may have said why before it hung up; if not, reading raises.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    "POST", f"{self.url.path}/api/blobs/{name}", _pieces(path, sent), headers
                )
            _checked(connection.getresponse(), what)

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float, what: str
    ) -> Iterator[HTTPResponse]:
        connection = _connect(self.url, timeout)
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        with _talking(self.host, connection, what):
            connection.request(method, f"{self.url.path}{path}", data, headers)
            yield _checked(connection.getresponse(), what)


@contextmanager
def _talking(host: str, connection: HTTPConnection, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        raise StepError(
            f"Ollama at {host} broke off when asked to {what} ({error or type(error).__name__})",
            hint="look at the log of `ollama serve`, then build again",
        ) from error
    finally:
        connection.close()


def _pieces(path: Path, sent: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(digest.CHUNK):
            yield chunk
            done += len(chunk)
            sent(done)


def _checked(response: HTTPResponse, what: str) -> HTTPResponse:
    if response.status in (200, 201):
        return response
    words = response.read(1 << 16).decode("utf-8", "replace")
    with suppress(ValueError):
        words = str(_object(words)["error"])
    raise refused(what, words or f"HTTP {response.status}")


def refused(what: str, words: str) -> StepError:
    hint = next((hint for part, hint in _HINTS.items() if part in words.lower()), "")
    return StepError(f"Ollama refused to {what}: {words}", hint=hint)


def _object(data: str | bytes) -> dict[str, Any]:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object")
    return value


def _connect(url: SplitResult, timeout: float) -> HTTPConnection:
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(url.hostname or "", url.port, timeout=timeout)

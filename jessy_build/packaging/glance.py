"""Quick questions to an Ollama server, which every plan asks: is it there, and what does it serve?

Where nobody listens, no HTTP library is loaded to find out.
"""

import json
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
OLLAMA_PORT = 11434
"""Where no scheme is written, either: so reads Ollama itself."""


def version(host: str, timeout: float = 0.3) -> str | None:
    """The server's version, or None when nothing answers there in time."""
    found = _get(host, "/api/version", timeout)
    return str(found["version"]) if found and "version" in found else None


def live(host: str, timeout: float = 3.0) -> dict[str, str] | None:
    """Tag → digest of every model that the server has, or None when nothing answers in time."""
    found = _get(host, "/api/tags", timeout)
    if found is None:
        return None
    return {str(m["name"]): str(m["digest"]) for m in found.get("models") or () if "digest" in m}


def serving(host: str, tag: str, timeout: float = 0.3) -> str | None:
    """The digest of what the server has under the tag, or None."""
    found = _get(host, "/api/tags", timeout)
    models = found.get("models") or () if found else ()
    return next((str(m["digest"]) for m in models if m.get("name") == tag), None)


def split(host: str) -> SplitResult:
    """A host as a URL with scheme, name and port."""
    url = urlsplit(host if "://" in host else f"http://{host}")
    port = url.port or (PORTS.get(url.scheme, OLLAMA_PORT) if "://" in host else OLLAMA_PORT)
    name = url.hostname or "127.0.0.1"
    shown = f"[{name}]" if ":" in name else name
    return url._replace(netloc=f"{shown}:{port}", path=url.path.rstrip("/"))


def listens(host: str, timeout: float = 0.3) -> bool:
    try:
        url = split(host)
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=timeout):
            return True
    except (OSError, ValueError):
        return False


def _get(host: str, path: str, timeout: float) -> dict[str, Any] | None:
    with suppress(ValueError):
        if listens(host, timeout):
            return _object(split(host), path, timeout)
    return None


def _object(url: SplitResult, path: str, timeout: float) -> dict[str, Any] | None:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=timeout)
    with suppress(OSError, HTTPException):
        try:
            connection.request("GET", f"{url.path}{path}")
            response = connection.getresponse()
            found = json.loads(response.read()) if response.status == 200 else None
            return found if isinstance(found, dict) else None
        finally:
            connection.close()
    return None

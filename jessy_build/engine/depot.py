"""Where a shared store lies: a folder, or a bucket. Bytes by name; a name is whole or not there.

Knows nothing of what the bytes mean, and trusts none of them: whoever reads compares digests.
Whatever goes wrong out there is a `Refused` with a reason in words. The texts of the libraries
below are never repeated, since addresses and keys may stand in them.
"""

import errno
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from jessy_build.diagnostics import MissingPackage, StepError

PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
"""Scheme → the package that speaks it, and the extra of ours that installs it."""
EXPECTED = "s3://bucket/path, gs://bucket/path, file:///folder or a folder"

Told = Callable[[int], None]
"""Called with the bytes done so far. What it raises ends the transfer."""


class Refused(Exception):
    """The shared store cannot be used for this now; the text says why."""


class Depot(Protocol):
    # As people may see it.
    name: str
    # Whether it lies on this machine's own file system.
    local: bool

    # The whole content, or None if there is nothing of that name.
    def read(self, name: str) -> bytes | None: ...

    # Content into a file that does not exist yet. False if there is nothing of that name.
    def fetch(self, name: str, to: Path, told: Told) -> bool: ...

    # Bytes, or None if there is nothing of that name.
    def size(self, name: str) -> int | None: ...

    # Readers see all of it under its name, or what was there before.
    def write(self, name: str, content: bytes) -> None: ...
    def send(self, name: str, file: Path, told: Told) -> None: ...

    # The last parts of the names directly below.
    def names(self, below: str) -> list[str]: ...


def at(address: str, origin: Path) -> Depot:
    """The depot at an address. A relative folder is meant from `origin`. Asks no network."""
    from jessy_build.engine.folder import Folder

    scheme, colon, rest = address.partition("://")
    if not colon:
        return Folder((origin / Path(address).expanduser()).resolve())
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(address)
        if parts.netloc in ("", "localhost") and parts.path.startswith("/"):
            return Folder(Path(unquote(parts.path)).resolve())
    if scheme in PACKAGES and rest.strip("/"):
        return _bucket(scheme, rest.strip("/"))
    raise StepError(
        "the shared store has an address that cannot be used",
        hint=f"expected {EXPECTED}, in the recipe's field 'store' or in JESSY_SHARED_STORE",
    )


def _bucket(scheme: str, path: str) -> Depot:
    if "@" in path.partition("/")[0] or "?" in path or "#" in path:
        raise StepError(
            "the shared store's address holds more than a bucket and a path",
            hint="keys come from the environment or from the cloud's own settings files",
        )
    package, extra = PACKAGES[scheme]
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(
            package,
            needed_for=f"a shared store at {scheme}://",
            install=f"uv pip install 'jessy-build[{extra}]'",
        )
    from jessy_build.engine.bucket import Bucket

    return Bucket(scheme, path)


def in_words(error: Exception) -> str:
    code, kind = code_of(error), type(error).__name__
    if any(word in kind for word in ("Connect", "Timeout", "ServerDisconnected", "Transport")):
        return "it cannot be reached"
    if isinstance(error, OSError) and error.errno is not None:
        words = {
            errno.ENOENT: "there is no such folder",
            errno.EACCES: "access is denied",
            errno.EPERM: "access is denied",
            errno.EROFS: "it is read-only",
        }
        return words.get(error.errno, os.strerror(error.errno).lower())
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if isinstance(error, PermissionError) or code in ("401", "403", "AccessDenied"):
        return "access is denied"
    if "Credentials" in kind:
        return "no credentials were found"
    return f"it answered with {kind}" + (f" ({code})" if code.isalnum() else "")


def code_of(error: BaseException) -> str:
    """What the server called it, where the error or its cause can say."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        if code := getattr(each, "code", None):
            return str(code)
    return ""

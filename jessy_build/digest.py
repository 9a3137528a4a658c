"""Name values, files and folders by their content. One encoding serves all keys."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8. NaN and infinities raise ValueError."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode("utf-8", "surrogatepass")


def of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_value(value: Any) -> str:
    return of_bytes(canonical(value))


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_tree(files: Mapping[str, str]) -> str:
    """The digest of a folder, given as relative POSIX path → sha256 of the file."""
    return of_value(dict(files))

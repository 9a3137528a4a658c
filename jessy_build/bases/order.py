"""An order to bring a base here, and what comes of it. A plan reads recipes and orders nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jessy_build.settings import Settings

Report = Callable[[int, int | None, str], None]
"""Bytes done, bytes in all (None when nobody can know), and what is being done."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One order to bring a base into the folder `out`.

    `origin_dir` is the folder of the recipe: local paths are relative to it.
    """

    fields: Mapping[str, Any]
    revision: str | None
    sha256: str | None
    origin_dir: Path
    out: Path
    work: Path
    """Scratch that a later try finds again; it may be `out` itself."""
    settings: Settings
    progress: Report
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Fetched:
    """`path` is one GGUF file, or an HF-style model folder."""

    kind: Literal["gguf", "folder"]
    path: Path

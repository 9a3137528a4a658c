"""What a base is called in a recipe, and what a fetched one looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jessy_build.settings import Settings

Report = Callable[[int, int | None, str], None]
"""Bytes done, bytes in all (None when nobody can know), and what is being done."""


@dataclass(frozen=True, slots=True)
class Source:
    """`fields` is plain JSON, so that it can stand in a step's parameters."""

    kind: str
    fields: Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something the recipe's `base` block lacks or says in vain; `field` is a key of that block."""

    field: Literal["revision", "sha256"]
    problem: str
    hint: str = ""

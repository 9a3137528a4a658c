"""Which language a file is written in, by the ending of its name."""

from collections.abc import Mapping
from typing import NamedTuple

from jessy_build.sources.config import Written


class Language(NamedTuple):
    name: str
    """For people: `source.language` in prompts."""
    endings: tuple[str, ...]


LANGUAGES: Mapping[Written, Language] = {
    "c": Language("C", (".c", ".h")),
    "go": Language("Go", (".go",)),
    "javascript": Language("JavaScript", (".js", ".jsx", ".mjs", ".cjs")),
    "markdown": Language("Markdown", (".md", ".markdown")),
    "python": Language("Python", (".py", ".pyi")),
    "rust": Language("Rust", (".rs",)),
    "typescript": Language("TypeScript", (".ts", ".tsx", ".mts", ".cts")),
    "text": Language("text", ()),
}


def of(file: str) -> Written:
    """`text` for whatever has no language of its own here."""
    name = file.lower()
    return next((word for word, known in LANGUAGES.items() if name.endswith(known.endings)), "text")

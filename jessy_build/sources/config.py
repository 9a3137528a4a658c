"""What a recipe may say about the files that its rows are written about."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from jessy_build.config import Config

Pattern = Annotated[str, Field(min_length=1, max_length=1000)]
Unit: TypeAlias = Literal["file", "section", "paragraph", "function", "chunk"]
Written: TypeAlias = Literal[
    "c", "go", "javascript", "markdown", "python", "rust", "text", "typescript"
]
"""A language by the word that recipes have for it; `text` is whatever has no other."""


class Sources(Config):
    """Files that items are written about. They are cut into excerpts, and each item gets one, which
    its prompt reads as `source.text`, `source.name`, `source.path`, `source.lines`,
    `source.language` and `source.left_out`."""

    files: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    """Glob patterns, relative to the recipe. Hidden folders, `node_modules`, `target`, `venv`,
    `__pycache__`, `build`, `builds` and `dist` are passed over unless a pattern names them before
    its first wildcard."""
    unit: Unit = "file"
    """What one excerpt is: a whole `file`; a `section` of Markdown, from a heading to the next one;
    a `paragraph`; a `function` or method of C, Go, JavaScript, Python, Rust or TypeScript with its
    comments, attributes and decorators; or a `chunk`, as many lines as `max_tokens` holds."""
    max_tokens: Annotated[int, Field(ge=20, le=100_000)] = 1000
    """The longest excerpt, in tokens of four characters each. A longer one is cut at the end of a
    line, ends with a line that says so, and is warned of; `source.left_out` has the number of
    lines."""
    languages: Annotated[tuple[Written, ...], Field(min_length=1)] | None = None
    """Of all files that match, only those written in one of these, by the endings of their names.
    Default: all, and a file that has no such unit is an error."""

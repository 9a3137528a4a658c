"""What a command printed with `--json`, held against its published schema."""

import json
from pathlib import Path
from typing import Any

from tests.structure import problems

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"


def read(text: str, name: str) -> dict[str, Any]:
    """The one document that a command printed; it must be as `schemas/` says."""
    document: dict[str, Any] = json.loads(text)
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert problems(document, schema) == []
    return document

"""What a base is called in a recipe, and what such a name may lack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Source:
    """`fields` is plain JSON, so that it can stand in a step's parameters."""

    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something the recipe's `base` block lacks or says in vain; `field` is a key of that block."""

    field: Literal["revision", "sha256"]
    problem: str
    hint: str = ""

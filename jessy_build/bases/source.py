"""What a base is called in a recipe, and what such a name may lack."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Source(NamedTuple):
    """`fields` is plain JSON, so that it can stand in a step's parameters."""

    kind: str
    fields: Mapping[str, Any]


class Complaint(NamedTuple):
    """Something the recipe's `base` block lacks or says in vain; `field` is a key of that block."""

    field: Literal["revision", "sha256"]
    problem: str
    hint: str = ""

"""What a teacher that judges says: a reason, and a whole number from 1 to 5 for each criterion."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from jessy_build.teachers.asking import Malformed

REASON = "reason"
LOWEST, HIGHEST = 1, 5


class Scores(NamedTuple):
    scores: Mapping[str, int]
    """By criterion, in the order of the rubric."""
    reason: str
    """In the judge's own words."""


def schema(rubric: Mapping[str, str]) -> Mapping[str, Any]:
    """The reason stands first, since a score is better found than defended. Each criterion carries
    its meaning, so that another meaning is another question, whatever a prompt reads.

    The numbers are listed: servers that refuse `minimum` know `enum`.
    """
    scale = {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))}
    said = {name: {**scale, "description": meaning} for name, meaning in rubric.items()}
    return {
        "type": "object",
        "properties": {REASON: {"type": "string"}, **said},
        "required": [REASON, *rubric],
        "additionalProperties": False,
    }


def parse(reply_text: str, criteria: tuple[str, ...]) -> Scores:
    """Raises `Malformed` for what is not just that: 4.5 and "4" are no scores."""
    try:
        said = _shape(criteria).model_validate_json(reply_text)
    except ValidationError as error:
        raise Malformed(_first(error, criteria)) from None
    found = [getattr(said, field) for field in _fields(criteria)]
    return Scores(dict(zip(criteria, found, strict=True)), getattr(said, REASON))


def _fields(criteria: tuple[str, ...]) -> list[str]:
    """A criterion may be called by words that no attribute can have."""
    return [f"criterion_{number}" for number in range(len(criteria))]


@cache
def _shape(criteria: tuple[str, ...]) -> type[BaseModel]:
    """Servers promise the schema and do not always keep it: every answer is checked again."""
    fields: dict[str, Any] = {REASON: (str, Field(min_length=1))}
    for field, name in zip(_fields(criteria), criteria, strict=True):
        fields[field] = (int, Field(alias=name, ge=LOWEST, le=HIGHEST))
    strictly = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)
    return create_model("Scores", __config__=strictly, **fields)


def _first(error: ValidationError, criteria: tuple[str, ...]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if name in criteria and first["type"] != "missing":
        return f"'{name}' is no whole number from {LOWEST} to {HIGHEST}"
    return f"'{name}': {first['msg']}" if name else first["msg"]

"""What the asked teachers share: the shape of an example, reading it back, hosts and keys."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from jessy_build.diagnostics import StepError
from jessy_build.example import Message, Request

KEPT = "what was answered is kept: the next build asks only for what is missing"


class Malformed(Exception):
    """The teacher answered, but not with an example. `reason` says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


MESSAGE_NAMES = ("user", "assistant")


class Shape(NamedTuple):
    """What one answer holds: so many pairs of question and answer, or one question with an answer
    that is written in named parts."""

    turns: int = 1
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The properties of its JSON object, in their order."""
        if self.parts:
            return "user", *self.parts
        if self.turns == 1:
            return MESSAGE_NAMES
        turns = range(1, self.turns + 1)
        return tuple(f"{role}_{turn}" for turn in turns for role in MESSAGE_NAMES)


ONE_TURN = Shape()


def example_schema(shape: Shape = ONE_TURN) -> Mapping[str, Any]:
    """A question and its answer, or several in turn, as the JSON schema of structured output.

    Each text is a property of its own: servers keep to required properties, and to their order,
    where few of them keep to the length of a list.
    """
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in shape.names},
        "required": list(shape.names),
        "additionalProperties": False,
    }


def parse(reply_text: str, shape: Shape = ONE_TURN) -> tuple[Message, ...]:
    """The conversation in a reply to `example_schema`, question first; raises `Malformed`. Parts of
    an answer become its paragraphs."""
    try:
        said = _checked(shape.names).model_validate_json(reply_text).model_dump()
    except ValidationError as error:
        raise Malformed(_first(error)) from None
    for name in shape.names:
        if not said[name]:
            raise Malformed(f"'{name}' is empty")
    if shape.parts:
        answer = "\n\n".join(said[part] for part in shape.parts)
        return Message("user", said["user"]), Message("assistant", answer)
    return tuple(
        Message("assistant" if name.startswith("assistant") else "user", said[name])
        for name in shape.names
    )


@cache
def _checked(names: tuple[str, ...]) -> type[BaseModel]:
    """Servers promise the schema and do not always keep it: every answer is checked again."""
    fields: dict[str, Any] = dict.fromkeys(names, (str, ...))
    strictly = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)
    return create_model("Example", __config__=strictly, **fields)


def _first(error: ValidationError) -> str:
    """The first problem is enough: the answer is asked afresh, not mended."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"'{field}': {first['msg']}" if field else first["msg"]


def seconds(request: Request, most: float) -> float:
    """How long its answer may take: what the teacher is given, or less where the level says so."""
    return most if request.timeout is None else min(most, request.timeout)


def messages(prompt: str, system: str | None) -> tuple[Message, ...]:
    asked = Message("user", prompt)
    return (Message("system", system), asked) if system else (asked,)


def host_of(url: str, *, named_by: str) -> str:
    """The URL as it may be told to anybody: scheme, host and port, no user and no password."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts = None
    hostname = parts.hostname if parts and parts.scheme in ("http", "https") else None
    if parts is None or not hostname or any(letter.isspace() for letter in hostname):
        raise StepError(
            f"{named_by} holds no address of a server",
            hint=f"set {named_by} to something like http://127.0.0.1:8080",
        )
    host = f"[{hostname}]" if ":" in hostname else hostname
    return f"{parts.scheme}://{host}{port}"


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the keys: a server may repeat in an error what it was sent."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "[key]")
    return text

"""Write and read Ollama's Modelfile. Refuses any text that its grammar would change silently.

The grammar has no escapes. A value in triple quotes runs until the first line end where what was
read so far ends in the closer, and characters that do not print are dropped on the way.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from pydantic import ValidationError

from jessy_build.packaging import versions
from jessy_build.packaging.config import Parameters, Role, Value

QUOTES = '"""'
COMMANDS = (
    *("from", "parameter", "system", "template", "message"),
    *("license", "adapter", "requires"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of the conversation that the model starts with."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says, as values."""

    from_: str
    """A file beside the Modelfile, or the name of a model that the server has."""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    system: str | None = None
    template: str | None = None
    messages: tuple[Message, ...] = ()
    license: tuple[str, ...] = ()
    adapter: str | None = None
    requires: str | None = None
    """The lowest server version that may take it."""


def render(m: Modelfile) -> str:
    """ValueError for a text that the grammar cannot carry: the server's JSON API can."""
    return "".join(f"{line}\n" for line in _lines(m))


def parse(text: str) -> Modelfile:
    """ValueError with the line for everything that Ollama refuses, and for what we do not write."""
    found: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    messages: list[Message] = []
    licenses: list[str] = []
    for command in _commands(text):
        match command.name:
            case "parameter":
                _add_parameter(parameters, command)
            case "message":
                messages.append(Message(cast(Role, command.word), command.value))
            case "license":
                licenses.append(command.value)
            case "requires":
                if versions.parsed(command.value) is None:
                    raise ValueError(
                        f"line {command.line}: REQUIRES is a version such as 0.14.0, "
                        f"not '{command.value}'"
                    )
                # As Ollama reads it.
                found["requires"] = command.value.removeprefix("v")
            case name:
                found["from_" if name == "from" else name] = command.value
    if "from_" not in found:
        raise ValueError("there is no FROM line")
    return Modelfile(
        **found, parameters=parameters, messages=tuple(messages), license=tuple(licenses)
    )


def _lines(m: Modelfile) -> Iterator[str]:
    yield f"FROM {_plain(m.from_, 'FROM')}"
    if m.requires is not None:
        yield f"REQUIRES {_plain(m.requires, 'REQUIRES')}"
    if m.adapter is not None:
        yield f"ADAPTER {_plain(m.adapter, 'ADAPTER')}"
    for name, value in m.parameters.items():
        yield from _parameter_lines(name, value)
    if m.template is not None:
        yield f"TEMPLATE {_quoted(m.template, 'TEMPLATE')}"
    if m.system is not None:
        yield f"SYSTEM {_quoted(m.system, 'SYSTEM')}"
    for message in m.messages:
        yield f"MESSAGE {message.role} {_quoted(message.content, 'MESSAGE')}"
    for text in m.license:
        yield f"LICENSE {_quoted(text, 'LICENSE')}"


def _parameter_lines(name: str, value: Value) -> Iterator[str]:
    _validated({name: value})
    if isinstance(value, tuple):
        for text in value:
            yield f"PARAMETER {name} {_quoted(text, f'PARAMETER {name}')}"
    else:
        yield f"PARAMETER {name} {value!r}"


def _plain(text: str, where: str) -> str:
    """As it stands where that is safe: `FROM ./model.gguf` is what people expect to read."""
    if text and re.fullmatch(r"[\w./:@~+-]+", text, re.ASCII):
        return text
    return _quoted(text, where)


def _quoted(text: str, where: str) -> str:
    for number, line in enumerate(re.split(r"[\r\n]", text)[:-1], start=1):
        if line.rstrip().endswith(QUOTES):
            raise ValueError(
                f"{where}: line {number} ends in {QUOTES}, which would end the whole text there"
            )
    for character in text:
        if _is_dropped(character):
            raise ValueError(f"{where}: {_why_dropped(character)}")
    return f"{QUOTES}{text}{QUOTES}"


@dataclass(frozen=True, slots=True)
class _Command:
    """One command of a Modelfile, as it was read."""

    line: int
    name: str
    """In lower case."""
    word: str
    """The parameter's name, or who speaks in a MESSAGE."""
    value: str


_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"([A-Za-z]*)([ \t]?)")
_WORD = re.compile(r"(\w+)[ \t]", re.ASCII)
_LINE_END = re.compile(r"[\r\n]|\Z")
_BLANK = " \t\r\n"


def _commands(text: str) -> Iterator[_Command]:
    text = text.removeprefix("\ufeff")
    at = _skip(text, 0)
    while at < len(text):
        command, at = _command(text, at)
        yield command
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _command(text: str, start: int) -> tuple[_Command, int]:
    line = text.count("\n", 0, start) + 1
    head = _NAME.match(text, start)
    assert head is not None
    name = head[1].lower()
    if name not in COMMANDS or not head[2]:
        raise ValueError(f"line {line}: a command must be one of {', '.join(COMMANDS).upper()}")
    at, word = head.end(), ""
    if name in ("parameter", "message"):
        second = _WORD.match(text, at)
        if second is None:
            what = "a parameter's name" if name == "parameter" else "who speaks"
            raise ValueError(
                f"line {line}: {name.upper()} needs {what} and a value, one space between"
            )
        at, word = second.end(), second[1]
    if name == "message" and word not in get_args(Role):
        raise ValueError(
            f"line {line}: a message's role is {', '.join(get_args(Role))}, not '{word}'"
        )
    end = _value_end(text, at, line)
    return _Command(line, name, word, _unquoted(text[at:end].strip(_BLANK), line)), end


def _value_end(text: str, at: int, line: int) -> int:
    """The first line end where the value is complete."""
    begin = at + len(text[at:]) - len(text[at:].lstrip(" \t"))
    quotes = _opener(text[begin : begin + 3])
    for end in (match.start() for match in _LINE_END.finditer(text, begin)):
        last = _rstrip(text, begin, end)
        if not quotes or (last - begin >= 2 * len(quotes) and text.endswith(quotes, begin, last)):
            return end
    raise ValueError(f"line {line}: the text that begins here with {quotes} has no end")


def _rstrip(text: str, begin: int, end: int) -> int:
    while end > begin and text[end - 1] in _BLANK:
        end -= 1
    return end


def _opener(text: str) -> str:
    return QUOTES if text == QUOTES else '"' if text.startswith('"') else ""


def _unquoted(text: str, line: int) -> str:
    for character in text:
        if _is_dropped(character):
            raise ValueError(f"line {line}: {_why_dropped(character)}")
    width = len(_opener(text[:3]))
    return text[width : len(text) - width]


def _is_dropped(character: str) -> bool:
    return not (character.isprintable() or character in "\t\r\n")


def _why_dropped(character: str) -> str:
    return (
        f"the character U+{ord(character):04X} does not print, "
        "and Ollama's Modelfile reader drops such characters silently"
    )


def _add_parameter(parameters: dict[str, Any], command: _Command) -> None:
    try:
        value = _read(command.word, command.value)
        _validated({command.word: value})
    except ValueError as error:
        raise ValueError(f"line {command.line}: {error}") from None
    if isinstance(value, tuple):
        value = (*parameters.get(command.word, ()), *value)
    parameters[command.word] = value


def _read(name: str, text: str) -> Value:
    match _shape(name):
        case "texts":
            return (text,)
        case "whole number":
            if re.fullmatch(r"[+-]?[0-9]+", text):
                return int(text)
        case "number":
            if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", text, re.I | re.A):
                return float(text)
    raise ValueError(f"'{text}' is no {_shape(name)}, which {name} needs")


def _shape(name: str) -> Literal["texts", "number", "whole number"]:
    if name not in Parameters.model_fields:
        near = get_close_matches(name, Parameters.model_fields, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"unknown parameter '{name}'{hint}")
    kind = str(Parameters.model_fields[name].annotation)
    return "texts" if "tuple" in kind else "number" if "float" in kind else "whole number"


def _validated(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        _shape(name)
        if value is None:
            raise ValueError(f"{name} has no value")
    try:
        Parameters.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}, not {first['input']!r}") from None

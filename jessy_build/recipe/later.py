"""What the language knows and this version cannot do: one table. A recipe that asks for it is told.

A field that nothing reads would promise what never happens. Whoever makes one of these real takes
its line out of the table, and the field's `exclude` out of the model.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jessy_build.recipe import source, tree
from jessy_build.recipe.source import Node
from jessy_build.recipe.tree import Path


class Later(NamedTuple):
    lacks: str
    """Goes on from "this version cannot"."""
    instead: str
    """What to do today."""


LATER: Mapping[str, Later] = {
    # A field, or FIELD=VALUE for those of its values that match; * stands for any one name.
    "base.model=ollama:*": Later(
        "take a base out of an Ollama server",
        "name the file itself, as gguf:./model.gguf, or its repository, as hf:org/name",
    ),
    "evaluate.compare_with": Later(
        "compare with anything but the base", "read both reports beside each other"
    ),
    "evaluate.scenarios": Later(
        "play scenarios", "ask their questions in evaluate.prompts, and read the answers"
    ),
    "evaluate.gates": Later(
        "hold a model back by its figures", "leave deploy out, and read report.html first"
    ),
}


@dataclass(frozen=True)
class Used:
    """A place of a recipe that asks for what is not there yet."""

    place: Path
    value: str | None
    """Where only some values are meant, the one that was written."""
    later: Later


def used(root: Node) -> Iterator[Used]:
    """What is written as the default asks for nothing, and passes: `phases: []`."""
    for key, later in LATER.items():
        field, values = _parted(key)
        for place in _places(root, tuple(field.split("."))):
            written = source.plain(tree.node(root, place))
            if values is not None and not _fits(str(written), values):
                continue
            if written != _default(field):
                yield Used(place, None if values is None else str(written), later)


def refuses(path: Path, value: str | None = None) -> bool:
    """Whether a field, or this value of it, is in the table: no error should recommend it."""
    for key in LATER:
        field, values = _parted(key)
        words = field.split(".")
        if len(words) != len(path) or (values is None) != (value is None):
            continue
        named = all(w in ("*", str(segment)) for w, segment in zip(words, path, strict=True))
        if named and (value is None or (values not in (None, "*") and _fits(value, values))):
            return True
    return False


def values_of(cls: type, name: str) -> tuple[str, ...]:
    """Patterns of the values of a field that are of no use yet; '' stands for the whole field."""
    return _table().get((cls, name), ())


@cache
def _table() -> Mapping[tuple[type, str], tuple[str, ...]]:
    """The same table by the classes of the model, which only documentation asks for."""
    found: dict[tuple[type, str], tuple[str, ...]] = {}
    for key in LATER:
        field, values = _parted(key)
        for cls, name in owners(field):
            if values is None or _may_be(cls.model_fields[name], values):
                found[cls, name] = (*found.get((cls, name), ()), values or "")
    return found


def owners(field: str) -> list[tuple[type[BaseModel], str]]:
    """The classes that a dotted field leads to, each with the field's name in it.

    LookupError where it leads nowhere: the table must not name what is not there.
    """
    from jessy_build.recipe.model import Recipe

    *above, last = field.split(".")
    classes: list[type[BaseModel]] = [Recipe]
    for word in above:
        if word != "*":
            fields = [(cls, name) for cls in classes if (name := _name(cls, word))]
            inner = [cls.model_fields[name].annotation for cls, name in fields]
            classes = [below for annotation in inner for below in classes_in(annotation)]
    found = [(cls, name) for cls in classes if (name := _name(cls, last))]
    if not found:
        raise LookupError(field)
    return found


def classes_in(annotation: Any) -> list[type[BaseModel]]:
    """The blocks that may stand at a field, one of them or many."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [cls for inner in get_args(annotation) for cls in classes_in(inner)]


def _fits(value: str, values: str) -> bool:
    """`values` is one value, or how all that are meant begin: `ollama:*`."""
    return value.startswith(values[:-1]) if values.endswith("*") else value == values


def _parted(key: str) -> tuple[str, str | None]:
    field, equals, values = key.partition("=")
    return field, values if equals else None


def _places(root: Node, words: tuple[str, ...], above: Path = ()) -> Iterator[Path]:
    here = tree.node(root, above)
    if not words:
        yield above
        return
    names = tree.segments(here) if words[0] == "*" else (words[0],)
    for name in names:
        if tree.child(here, name) is not None:
            yield from _places(root, words[1:], (*above, name))


def _default(field: str) -> Any:
    (cls, name), *_ = owners(field)
    info = cls.model_fields[name]
    if info.is_required():
        return None
    return json.loads(json.dumps(info.get_default(call_default_factory=True)))


def _may_be(info: FieldInfo, values: str) -> bool:
    """Of the kinds of a teacher, each has a class of its own."""
    known = [value for value in get_args(info.annotation) if isinstance(value, str)]
    return not known or any(_fits(value, values) for value in known)


def _name(cls: type[BaseModel], word: str) -> str:
    for name, info in cls.model_fields.items():
        if word == (info.alias or name):
            return name
    return ""

"""A JSON schema that says what each field means, in the words that stand under it in the code."""

import ast
import inspect
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from jessy_build.config import Config
from jessy_build.recipe import later


class DocumentedSchema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles made out of field names say nothing new."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        fields = schema["cls"].model_fields
        for name, words in _inherited(schema["cls"]).items():
            if name in fields:
                made["properties"][fields[name].alias or name]["description"] = words
        if schema["cls"].__doc__ == Config.__doc__:
            made.pop("description", None)
        elif "description" in made:
            made["description"] = _one_line(made["description"])
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" in made:
            # An editor would take a name that fits no pattern for one that is free.
            made["additionalProperties"] = False
        return made


def _inherited(cls: type) -> dict[str, str]:
    """The words for all fields of a class; what nothing does yet is said behind them."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Config) and base is not Config:
            found |= documentation(base)
    return {name: words + _not_yet(cls, name) for name, words in found.items()}


def _not_yet(cls: type, name: str) -> str:
    values = later.values_of(cls, name)
    if not values:
        return ""
    if values == ("",):
        return " Not in this version."
    if values == ("*",):
        return " Anything else is not in this version."
    named = " and ".join(f"`{value.rstrip('*')}`" for value in values)
    return f" {named} {'is' if len(values) == 1 else 'are'} not in this version."


def documentation(cls: type) -> dict[str, str]:
    """For each field of the class itself the string that stands under it."""
    try:
        (tree,) = ast.parse(dedent(inspect.getsource(cls))).body
    except OSError:
        # Installed without its source: errors still need the rest of the schema.
        return {}
    assert isinstance(tree, ast.ClassDef)
    return dict(_documented(tree))


def _documented(tree: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                yield name, _one_line(words)


def _one_line(text: str) -> str:
    return " ".join(text.split())

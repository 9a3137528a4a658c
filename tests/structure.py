"""As much of JSON Schema as our own schemas use: what is wrong with a value, by place."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const"),
    *("anyOf", "$ref", "pattern", "prefixItems", "maxItems", "minItems"),
    *("$schema", "$defs", "title", "description", "default"),
}


def problems(value: Any, schema: Mapping[str, Any]) -> list[str]:
    return list(_problems(value, schema, schema, "$"))


def _problems(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str
) -> Iterator[str]:
    assert set(schema) <= KNOWN, f"this reader does not know {set(schema) - KNOWN}"
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from _problems(value, root["$defs"][name], root, at)
        return
    if "anyOf" in schema:
        if all(list(_problems(value, inner, root, at)) for inner in schema["anyOf"]):
            yield f"{at}: {value!r} fits none of {schema['anyOf']}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "type" in schema:
        kinds = TYPES[schema["type"]]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield f"{at}: {value!r} is no {schema['type']}"
            return
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not fit {schema['pattern']}"
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _problems(item, schema["items"], root, f"{at}[{index}]")
    if isinstance(value, dict):
        yield from _fields(value, schema, root, at)


def _fields(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str
) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}.{name} is missing"
    for name, inner in value.items():
        if name in known:
            yield from _problems(inner, known[name], root, f"{at}.{name}")
        elif others is False:
            yield f"{at}.{name} is not known"
        elif isinstance(others, dict):
            yield from _problems(inner, others, root, f"{at}.{name}")

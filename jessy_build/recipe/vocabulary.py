"""What may stand at a place of a recipe, in words. Read from the JSON schema, so never stale."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jessy_build import enhancers
from jessy_build.recipe import later, model, tree
from jessy_build.recipe.source import Node
from jessy_build.recipe.tree import Path

Schema = Mapping[str, Any]

NAMES = {
    model.NAME_PATTERN: "lower-case letters, digits, '.', '_' and '-', at most 64",
    model.KEY_PATTERN: "letters, digits, '_' and '-', at most 64",
}
PATTERNS = {
    **NAMES,
    enhancers.ONE_LINE: "text in one line, without spaces at its ends",
    enhancers.ONE_WORD: "signs without spaces",
}


DATE = "a date, as in 2026-11-01"


@cache
def _language() -> Schema:
    """Made only once something is wrong: a schema takes longer than loading a recipe."""
    return model.json_schema()


def fields(root: Node, path: Path) -> tuple[str, ...]:
    """The names that are known at a place, in the order of the documentation."""
    names: dict[str, None] = {}
    for schema in _at(root, path):
        names.update(dict.fromkeys(schema.get("properties", ())))
    return tuple(names)


def usable(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Of the fields at a place those that do something in this version."""
    return tuple(name for name in names if not later.refuses((*path, name)))


def keys(root: Node, path: Path) -> tuple[str, tuple[str, ...]]:
    """What a name of one's own must look like at a place."""
    for schema in _at(root, path):
        names = schema.get("propertyNames", {})
        if "enum" in names:
            return ", ".join(names["enum"]), tuple(names["enum"])
        for pattern in schema.get("patternProperties", ()):
            return PATTERNS.get(pattern, "another name"), ()
        if "maxLength" in names:
            return f"1 to {names['maxLength']} characters", ()
    return "another name", ()


def phrase(root: Node, path: Path) -> str:
    schemas = [_of_today(schema, path) for schema in _at(root, path)]
    blocks = [schema for schema in schemas if schema.get("type") == "object"]
    # The fields of several blocks in one line would help nobody.
    found = ["a mapping" if s in blocks and len(blocks) > 1 else _phrase(s) for s in schemas]
    return " or ".join(dict.fromkeys(filter(None, found)))


def words(schema: Schema) -> str:
    """What may stand at a field, whatever else the recipe says: for documentation."""
    members = list(_members(schema, None))
    told = [
        "a mapping" if member.get("type") == "object" else _phrase(member) for member in members
    ]
    return " or ".join(dict.fromkeys(filter(None, told)))


def blocks(schema: Schema) -> list[Schema]:
    """The mappings with fields of their own that may stand at a field, or in each of its items."""
    found = []
    for member in _members(schema, None):
        if "properties" in member:
            found.append(member)
        inner = [member.get("items"), member.get("additionalProperties")]
        inner += member.get("patternProperties", {}).values()
        found += [block for below in inner if isinstance(below, Mapping) for block in blocks(below)]
    return found


def is_text(phrase: str) -> bool:
    """Whether the words of an expectation ask for a text."""
    return "text" in phrase or any(words in phrase for words in PATTERNS.values())


def choices(root: Node, path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for schema in _at(root, path):
        schema = _of_today(schema, path)
        found += map(str, schema.get("enum", [schema["const"]] if "const" in schema else []))
    return tuple(found)


def elsewhere(name: str) -> str:
    """The block that has a field of this name, if there is just one."""
    found = {".".join(path) or "the recipe" for path in _owners(_language(), name, (), 6)}
    return found.pop() if len(found) == 1 else ""


def _of_today(schema: Schema, path: Path) -> Schema:
    """Without the values and the fields that an error must not recommend yet."""
    if "enum" in schema:
        values = [v for v in schema["enum"] if not later.refuses(path, str(v))]
        return {**schema, "enum": values} if values else {}
    if "properties" in schema:
        names = usable(path, tuple(schema["properties"]))
        return {**schema, "properties": {name: schema["properties"][name] for name in names}}
    return schema


def _at(root: Node, path: Path) -> list[Schema]:
    schemas = list(_members(_language(), root))
    here: Node | None = root
    for segment in path:
        here = tree.child(here, segment) if here else None
        inner = [found for schema in schemas for found in _inside(schema, segment)]
        schemas = [member for schema in inner for member in _members(schema, here)]
    return schemas


def _members(schema: Schema, value: Node | None) -> Iterator[Schema]:
    """A union by its members, or by the one that the value says it is."""
    if "$ref" in schema:
        schema = _language()["$defs"][schema["$ref"].rpartition("/")[2]]
    kinds = schema.get("discriminator")
    if kinds and value and (named := tree.child(value, kinds["propertyName"])):
        kind = named.value
        if isinstance(kind, str) and kind in kinds["mapping"]:
            yield from _members({"$ref": kinds["mapping"][kind]}, value)
            return
    members = schema.get("anyOf") or schema.get("oneOf")
    if members is None:
        yield schema
        return
    for member in members:
        yield from _members(member, value)


def _owners(
    schema: Schema, name: str, path: tuple[str, ...], depth: int
) -> Iterator[tuple[str, ...]]:
    for member in _members(schema, None):
        for field, inner in member.get("properties", {}).items():
            if field == name:
                yield path
            if depth:
                yield from _owners(inner, name, (*path, field), depth - 1)


def _inside(schema: Schema, segment: str | int) -> Iterator[Schema]:
    if isinstance(segment, int):
        first = schema.get("prefixItems", ())
        if segment < len(first):
            yield first[segment]
        elif isinstance(schema.get("items"), dict):
            yield schema["items"]
        return
    if segment in schema.get("properties", {}):
        yield schema["properties"][segment]
        return
    yield from schema.get("patternProperties", {}).values()
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]


def _phrase(schema: Schema) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return _listed(list(map(str, schema["enum"])))
    match schema.get("type"):
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "boolean":
            return "true or false"
        case "string":
            return _text(schema)
        case "array":
            if "prefixItems" in schema:
                return f"a list of {len(schema['prefixItems'])}: [from, to]"
            return "a list" + (" that is not empty" if schema.get("minItems") else "")
        case "object":
            names = ", ".join(schema.get("properties", ()))
            if names:
                return f"a mapping of {names}"
            return "a mapping" + (" that is not empty" if schema.get("minProperties") else "")
    return ""


def _text(schema: Schema) -> str:
    if schema.get("format") == "date":
        return DATE
    if "pattern" in schema:
        return PATTERNS.get(schema["pattern"], f"text like {schema['pattern']}")
    if "maxLength" in schema and schema["maxLength"] < 1000:
        return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    return "text that is not empty" if schema.get("minLength") else "text"


def _bounds(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    words = []
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words += [f"of at least {low}"] if low is not None else []
    words += [f"above {above}"] if above is not None else []
    words += [f"of at most {high}"] if high is not None else []
    words += [f"below {below}"] if below is not None else []
    return (" " + " and ".join(words)) if words else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]

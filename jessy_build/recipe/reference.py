"""docs/recipe.md, made out of the schema, which is made of the words under each field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jessy_build.recipe import later, model, vocabulary

HEAD = """\
# The recipe language

Every field, block by block. This page is made of the words that stand under each field in the code
(`just docs`); an editor shows the same out of `schemas/recipe.schema.json`.

Unknown fields, double fields and values that do not fit are errors, all told at once with their
place (`jessy check`; the codes are in [errors.md](errors.md)). YAML is read by the rules of YAML
1.2: `no` is a word, `1e-5` a number. Paths are relative to the file they stand in, and may not
leave the project unless the recipe says `allow_outside: true`. `null` takes away what a recipe that
is extended has set. Keys and passwords never stand in a recipe: they come from the environment.
"""
LATER_HEAD = """\
## Not in this version

The language knows these, so that recipes need not be written anew; a recipe that uses one is
refused ([R223](errors.md)), with what to do instead.

| field | this version cannot | instead |
|---|---|---|
"""


def page() -> str:
    schema = {**model.json_schema(), "type": "object"}
    # What two kinds of teachers share, as `prices`, is told once.
    sections = list(dict.fromkeys(_sections(schema, (), "")))
    today = [text for path, text in sections if not _is_later(path)]
    to_come = [text for path, text in sections if _is_later(path)]
    rows = [_row(f"`{k}`", entry.lacks, entry.instead) for k, entry in later.LATER.items()]
    return "\n".join([HEAD, *today, LATER_HEAD + "".join(rows), *to_come])


def _sections(
    schema: Mapping[str, Any], path: tuple[str, ...], kind: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """A block by itself, then those below it, in the order of the fields."""
    fields = schema["properties"]
    required = schema.get("required", schema.get("else", {}).get("required", ()))
    title = f"`{'.'.join(path)}`{kind}" if path else "The recipe"
    lines = [f"## {title}\n\n{schema.get('description', '').strip()}\n\n"]
    lines.append("| field | may be | default | |\n|---|---|---|---|\n")
    for name, field in fields.items():
        default = "required" if name in required else _default(field)
        text = field.get("description") or _of_block(field)
        lines.append(_row(f"`{name}`", vocabulary.words(field), default, text))
    yield path, "".join(lines)
    for name, field in fields.items():
        inner = vocabulary.blocks(field)
        for block in inner:
            yield from _sections(block, (*path, *_below(name, field)), _kind(block, inner))


def _below(name: str, field: Mapping[str, Any]) -> tuple[str, ...]:
    """`teachers.NAME` where the user chooses the names."""
    own = any(
        member.get("type") == "object" and "properties" not in member
        for member in field.get("anyOf", [field])
    )
    return (name, "NAME") if own else (name,)


def _kind(block: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> str:
    kind = block["properties"].get("kind", {})
    if len(blocks) == 1 or not kind:
        return ""
    return f" of kind {' or '.join(kind.get('enum', [kind.get('const')]))}"


def _is_later(path: tuple[str, ...]) -> bool:
    return any(
        later.refuses(tuple("*" if word == "NAME" else word for word in path[: length + 1]))
        for length in range(len(path))
    )


def _of_block(field: Mapping[str, Any]) -> str:
    blocks = vocabulary.blocks(field)
    return str(blocks[0].get("description", "")) if len(blocks) == 1 else ""


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value in (None, "", {}, []):
        return ""
    if isinstance(value, dict) and vocabulary.blocks(field):
        # The defaults of a block stand with its fields.
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |\n"

"""The schema that editors read is that of the code, and says what each field means."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jessy_build.recipe import model
from jessy_build.recipe.load import load

SCHEMA = Path(__file__).parent.parent.parent / "schemas" / "recipe.schema.json"
FULL = Path(__file__).parent / "good" / "full.yaml"


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == model.schema_text(), (
        "run: jessy schema > schemas/recipe.schema.json"
    )


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, block in {"Recipe": schema, **schema["$defs"]}.items():
        for field, inner in block.get("properties", {}).items():
            yield f"{name}.{field}", inner


def test_every_field_says_what_it_means() -> None:
    schema = model.json_schema()
    silent = []
    for name, field in fields(schema):
        block = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        # A kind only says which block this is; the block itself is documented.
        if "description" not in {**block, **field} and "const" not in field:
            silent.append(name)
    assert silent == []


def test_the_full_recipe_uses_every_field_of_the_language() -> None:
    """So that whatever is added to the language must be added to a recipe that is loaded."""
    text = FULL.read_text(encoding="utf-8")
    exclusive = {"revision", "steps"}  # those that would contradict what is there
    names = {name.rpartition(".")[2] for name, _ in fields(model.json_schema())}
    missing = {name for name in names - exclusive if f"{name}:" not in text}
    assert missing == set()
    load(FULL)


def test_only_a_recipe_that_extends_nothing_must_have_all_blocks() -> None:
    schema = model.json_schema()
    assert "required" not in schema
    assert schema["else"]["required"] == [
        *("recipe", "name", "version", "base", "teachers", "categories"),
    ]


def test_a_name_that_fits_no_pattern_is_refused_by_editors_too() -> None:
    categories = model.json_schema()["properties"]["categories"]
    assert categories["additionalProperties"] is False

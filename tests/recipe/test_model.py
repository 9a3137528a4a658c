"""The schema that editors read is that of the code, and says what each field means."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from jessy_build.recipe import model, reference
from jessy_build.recipe.load import load
from jessy_build.steps import POOLS
from jessy_build.teachers import ASKING
from tests.recipe import walk

PAGE = Path(__file__).parent.parent.parent / "docs" / "recipe.md"
SCHEMA = Path(__file__).parent.parent.parent / "schemas" / "recipe.schema.json"
FULL = Path(__file__).parent / "good" / "full.yaml"


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == model.schema_text(), (
        "run: jessy schema > schemas/recipe.schema.json"
    )


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "run: just docs"


def test_the_default_levels_are_those_that_their_documentation_says() -> None:
    words = model.json_schema()["properties"]["complexity"]["description"]
    for name, level in model.LEVELS.items():
        said = re.search(rf"{name} \(([\d-]+)[^,]*, ([\d-]+)[^,]*, (\d+)", words)
        assert said is not None
        assert said.groups() == (str(level.iterations), str(level.words), f"{level.seconds:g}")


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
    names = {path.rpartition(".")[2] for _, _, path in walk.fields_of_today()}
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


@pytest.mark.parametrize(
    ("category", "topic", "turns"),
    [
        (None, None, [1, 1, 1, 1]),
        (3, None, [3, 3, 3, 3]),
        (3, 5, [5, 5, 5, 5]),
        ({"min": 2, "max": 4}, None, [2, 3, 4, 2]),
        ({"min": 2, "max": 2}, None, [2, 2, 2, 2]),
        ({"min": 2, "max": 4}, 1, [1, 1, 1, 1]),
        (1, {"min": 6, "max": 7}, [6, 7, 6, 7]),
    ],
)
def test_a_row_has_the_turns_of_its_topic_else_of_its_category(
    category: object, topic: object, turns: list[int]
) -> None:
    block = model.Category.model_validate_json(
        json.dumps({"teacher": "x", "count": 4, "turns": category, "topics": [{"name": "t"}]})
    )
    about = model.Topic.model_validate_json(json.dumps({"name": "t", "turns": topic}))
    assert [model.turns_of(block, about, ordinal) for ordinal in range(4)] == turns
    assert about.vars == {}


def test_pools_are_those_of_steps_and_the_kinds_of_teachers_that_are_asked() -> None:
    assert set(get_args(model.Pool)) == {*POOLS, *ASKING}

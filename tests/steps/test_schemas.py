"""What is published is what is generated, and what is printed fits it."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jessy_build.steps import schemas
from jessy_build.steps.plan_document import Document
from tests.steps.project import Project

PUBLISHED = Path(__file__).parent.parent.parent / "schemas"


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_the_published_schema_is_the_generated_one(name: str) -> None:
    file = PUBLISHED / f"{name}.schema.json"
    assert file.read_text(encoding="utf-8") == schemas.SCHEMAS[name](), "run: just docs"


def test_a_printed_plan_fits_its_schema(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    done = project.run("plan", "recipe.yaml", "--json")
    document: dict[str, Any] = json.loads(done.out)
    read = TypeAdapter(Document).validate_json(done.out)
    assert [entry.step for entry in read.steps][:2] == ["fetch", "convert"]
    described = schemas.SCHEMAS["plan"]()
    properties = json.loads(described)["properties"]
    assert properties.keys() == document.keys()
    entries = json.loads(described)["$defs"]["Entry"]["properties"]
    assert all(entry.keys() == entries.keys() for entry in document["steps"])

"""The published shapes: what a recipe may hold, and what the commands print with `--json`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def recipe() -> str:
    from jessy_build.recipe.model import schema_text

    return schema_text()


def plan() -> str:
    from jessy_build.steps.explain import Document

    return _of(Document, "jessy plan --json")


def _of(kind: Any, title: str) -> str:
    from pydantic import TypeAdapter

    schema = TypeAdapter(kind).json_schema(mode="serialization")
    return json.dumps({"$schema": DRAFT, **schema, "title": title}, indent=2) + "\n"


SCHEMAS: Mapping[str, Callable[[], str]] = {"recipe": recipe, "plan": plan}
"""By the name of their file, `schemas/<name>.schema.json`."""

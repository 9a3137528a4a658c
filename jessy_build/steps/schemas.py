"""The published shapes: what a recipe may hold, and what the commands print with `--json`."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def recipe() -> str:
    from jessy_build.recipe.model import schema_text

    return schema_text()


def suite() -> str:
    from jessy_build.recipe.suites import schema_text

    return schema_text()


def plan() -> str:
    from jessy_build.steps.plan_document import Document

    return _of(Document, "jessy plan --json")


def preview() -> str:
    from jessy_build.steps.preview import Document

    return _of(Document, "jessy preview --json")


def tokens() -> str:
    from jessy_build.steps.row_tokens import Document

    return _of(Document, "jessy preview --tokens --json")


def plans() -> str:
    from jessy_build.steps.outcomes import Plans

    return _of(Plans, "jessy plan --json of a recipe with a matrix")


def compared() -> str:
    from jessy_build.steps.outcomes import Compared

    return _of(Compared, "the last line of jessy build --json of a recipe with a matrix")


def missing() -> str:
    from jessy_build.steps.missing import Stopped

    return _of(Stopped, "the line of jessy build --json of a build that its budget stopped")


def diff() -> str:
    from jessy_build.plan.diff import Diff

    return _of(Diff, "jessy diff --json")


def why() -> str:
    from jessy_build.steps.why import Document

    return _of(Document, "jessy why RECIPE STEP --json")


def status() -> str:
    from jessy_build.steps.state import Document

    return _of(Document, "jessy status RECIPE --json")


def overview() -> str:
    from jessy_build.steps.state import Overview

    return _of(Overview, "jessy status --json")


def history() -> str:
    from jessy_build.steps.history import Document

    return _of(Document, "jessy history --json")


def show() -> str:
    from jessy_build.steps.provenance import Item

    return _of(Item, "jessy show --json, and jessy why --json of an example")


def review() -> str:
    from jessy_build.steps.review import Opened

    return _of(Opened, "jessy review --json")


def export() -> str:
    from jessy_build.steps.export import Document

    return _of(Document, "jessy export --json")


def rollback() -> str:
    from jessy_build.steps.rollback import Document

    return _of(Document, "jessy rollback --json")


def gc() -> str:
    from jessy_build.steps.gc import Document

    return _of(Document, "jessy gc --json")


def bases() -> str:
    from jessy_build.steps.base_table import Document

    return _of(Document, "jessy bases --json")


def lock() -> str:
    from jessy_build.steps.lock_format import schema_text

    return schema_text()


def _of(kind: Any, title: str) -> str:
    from pydantic import TypeAdapter

    from jessy_build.recipe.documented import documentation

    schema = TypeAdapter(kind).json_schema(mode="serialization")
    module = sys.modules[kind.__module__]
    for name, made in {**schema.get("$defs", {}), kind.__name__: schema}.items():
        words = documentation(getattr(module, name)) if hasattr(module, name) else {}
        for field, said in words.items():
            made["properties"][field]["description"] = said
    return json.dumps({"$schema": DRAFT, **schema, "title": title}, indent=2) + "\n"


SCHEMAS: Mapping[str, Callable[[], str]] = {
    "recipe": recipe,
    "suite": suite,
    "preview": preview,
    "tokens": tokens,
    "plan": plan,
    "plans": plans,
    "compared": compared,
    "missing": missing,
    "diff": diff,
    "lock": lock,
    "why": why,
    "status": status,
    "overview": overview,
    "history": history,
    "show": show,
    "review": review,
    "export": export,
    "rollback": rollback,
    "gc": gc,
    "bases": bases,
}
"""By the name of their file, `schemas/<name>.schema.json`."""

"""The rows of a side, as far as they are known here: from its store, or from the recipe's files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jessy_build import digest
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Store
from jessy_build.plan import rows
from jessy_build.plan.rows import Label, Row
from jessy_build.steps import items
from jessy_build.steps.desk import Asking
from jessy_build.steps.sides import Side

FILE = "examples.jsonl"
BETWEEN = " / "
"""Between the turns of a conversation."""

Rows = Mapping[str, Sequence[Row]]
"""By category."""


def categories(side: Side) -> list[str]:
    """In the order of the recipe, where that is known."""
    names = [step.partition(":")[2] for step in side.known if step.startswith("generate:")]
    order = list((side.config or {}).get("categories", {}))
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def cells(side: Side, category: str, generated: Sequence[Row] | None) -> Mapping[Label, int] | None:
    """Its quotas where it asks for rows; else the rows that there are."""
    asked = _asked(side, category)
    if asked is not None:
        return {(c.topic, c.language, c.level): c.rows for c in asked.questions.cells}
    return None if generated is None else rows.count(generated)


def total(side: Side, category: str) -> int | None:
    """Where not even labels are known: what the lock says, or a build has noted."""
    block = side.blocks.get(f"generate:{category}")
    return block.figures.get("rows") if block else None


def generated(side: Side, category: str) -> Sequence[Row] | None:
    """What the category's teacher gave; None where that is not known here."""
    made = side.artifacts.get(f"generate:{category}")
    stored = _stored(side.store, made) if made else None
    if stored is not None:
        return stored.get(category, ())
    if side.workspace is None or category not in side.workspace.loaded.rows:
        return None
    return [
        Row(
            e.id,
            (e.topic, e.language, e.complexity),
            *_turns([(m.role, m.content) for m in e.messages]),
        )
        for e in items.picked(side.workspace.loaded, category).examples()
    ]


def kept(side: Side) -> Rows | None:
    """What passed validation."""
    made = side.artifacts.get("validate")
    return _stored(side.store, made) if made else None


def _asked(side: Side, category: str) -> Asking | None:
    if side.workspace is None:
        return None
    for step in side.workspace.plan:
        if step.name == f"generate:{category}":
            return step.payload if isinstance(step.payload, Asking) else None
    return None


def _stored(store: Store, made: Artifact) -> Rows | None:
    """None where the file is not here whole: a comparison has no business mending it."""
    sha256, _ = made.tree.get(FILE, ("", 0))
    try:
        data = store.object(sha256).read_bytes()
    except OSError:
        return None
    if digest.of_bytes(data) != sha256:
        return None
    found: dict[str, list[Row]] = {}
    for line in data.splitlines():
        row = json.loads(line)
        found.setdefault(row["category"], []).append(_row(row))
    return found


def _row(row: Mapping[str, Any]) -> Row:
    label = (row["topic"], row["language"], row["complexity"])
    turns = _turns([(m["role"], m["content"]) for m in row["messages"]])
    return Row(row["id"], label, *turns)


def _turns(messages: Sequence[tuple[str, str]]) -> tuple[str, str]:
    asked = [text for role, text in messages if role == "user"]
    said = [text for role, text in messages if role == "assistant"]
    return BETWEEN.join(asked), BETWEEN.join(said)

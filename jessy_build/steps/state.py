"""What `status` tells: rows per category against their target, and the last builds."""

import time
from typing import Any

from jessy_build import units
from jessy_build.console import Console
from jessy_build.steps.builds import Workspace

BUILDS = 5


def document(workspace: Workspace) -> dict[str, Any]:
    recipe = workspace.loaded.recipe
    made = workspace.before()
    return {
        "format": 1,
        "recipe": workspace.id,
        "name": recipe.name,
        "version": recipe.version,
        "categories": [
            {
                "category": name,
                "rows": made[f"generate:{name}"].facts["rows"] if f"generate:{name}" in made else 0,
                "target": category.count
                if category.count != "all"
                else len(workspace.loaded.rows[name]),
            }
            for name, category in recipe.categories.items()
        ],
        "steps": {name: artifact.seconds for name, artifact in made.items()},
        "builds": [
            {
                "id": build.id,
                "status": build.status,
                "version": build.version,
                "started": build.started,
                "seconds": build.seconds,
            }
            for build in workspace.store.ledger.builds(workspace.id)[:BUILDS]
        ],
    }


def show(document: dict[str, Any], console: Console) -> None:
    console.line(f"{document['name']} {document['version']} ({document['recipe']})")
    console.line()
    console.table(
        [(c["category"], _progress(c["rows"], c["target"])) for c in document["categories"]],
        ("category", "rows"),
    )
    console.line()
    if not document["builds"]:
        console.line("Not built yet.")
        return
    rows = [
        (
            f"build:{build['id']}",
            build["version"],
            build["status"],
            time.strftime("%Y-%m-%d %H:%M", time.localtime(build["started"])),
            units.duration(build["seconds"]) if build["seconds"] is not None else "",
        )
        for build in document["builds"]
    ]
    console.table(rows, ("build", "version", "status", "started", "took"))


def _progress(rows: int, target: int) -> str:
    sign = "✓" if rows >= target else "…"
    return f"{rows}/{target} {sign} {100 * rows / max(target, 1):.0f} %"

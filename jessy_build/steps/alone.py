"""Whether the adapter alone can be served, where only what was fetched tells it: before a training.

`check` asks the same of bases that lie here or are known. A base that this build converts is asked
by `convert`; one that an earlier build has converted, when the build begins.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import RecipeError, StepError
from jessy_build.engine.rebuild import Reuse

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.steps.builds import Workspace

CONFIG = "config.json"


def where(loaded: "LoadedRecipe") -> str | None:
    """Where the adapter alone is to be served; None where the fused model is."""
    if loaded.recipe.export.kind != "adapter":
        return None
    return "ollama" if loaded.recipe.deploy else "folder"


def refuse_converted(model: Path, where: str | None) -> None:
    from jessy_build.packaging import alone

    if where is None:
        return
    if reason := alone.refusal(_read(model / CONFIG), ollama=where == "ollama"):
        problem = f"the adapter of this base cannot be served alone: {reason}"
        raise StepError(problem, hint="write export.kind: fused")


def refuse(workspaces: Sequence["Workspace"], until: str | None = None) -> None:
    """RecipeError for each base that an earlier build has converted."""
    from jessy_build.recipe import served

    found = []
    for workspace in workspaces:
        if where(workspace.loaded) is None:
            continue
        made = workspace.decisions(until).get("convert")
        if not isinstance(made, Reuse):
            continue
        digest, _ = made.artifact.tree.get(CONFIG, ("", 0))
        if digest and workspace.store.object(digest).is_file():
            config = _read(workspace.store.object(digest))
            found.append(served.not_alone(workspace.loaded, config))
    if problems := [problem for problem in found if problem is not None]:
        raise RecipeError(list(dict.fromkeys(problems)))


def _read(file: Path) -> Mapping[str, Any]:
    said: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return said

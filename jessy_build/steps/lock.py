"""The lock file beside a recipe: what a version is, step by step, for git and for reviews.

An input of nothing. It holds no time, host or machine: built again after a kill, or from nothing
on the same machine, it is the same bytes.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.recipe.paths import LOCK_ENDING
from jessy_build.steps import blocks, lock_format
from jessy_build.steps.blocks import Block
from jessy_build.steps.lock_format import Lock

if TYPE_CHECKING:
    from jessy_build.engine.ledger import Artifact
    from jessy_build.steps.builds import Workspace

MARK = lock_format.HEAD[:24].encode()
"""How every lock of ours begins, also one that a merge has left in pieces."""


def path_of(recipe: Path) -> Path:
    return recipe.with_suffix(LOCK_ENDING)


def after(workspace: "Workspace", made: Mapping[str, "Artifact"]) -> Lock:
    """What was made, and of the rest what the lock file says and is still so."""
    recipe = workspace.loaded.recipe
    config = recipe.model_dump(mode="json", by_alias=True)
    outputs = {name: workspace.store.digest(artifact) for name, artifact in made.items()}
    steps = {
        name: blocks.of(name, artifact, outputs[name], config)
        for name, artifact in made.items()
        # The report hangs on every step: two branches would never merge without a conflict in it.
        if artifact.kind not in blocks.TELLS_TIMES
    }
    if len(made) < len(workspace.plan.steps):
        steps |= _still_true(workspace, outputs, _before(workspace))
    return Lock(recipe.name, recipe.version, steps)


def _before(workspace: "Workspace") -> Mapping[str, Block]:
    path = path_of(workspace.loaded.path)
    try:
        return lock_format.read(path, path.name).steps
    except StepError:
        # Missing, or damaged by a merge: what was made is told anew all the same.
        return {}


def _still_true(
    workspace: "Workspace", outputs: dict[str, str], before: Mapping[str, Block]
) -> dict[str, Block]:
    """The blocks of steps not made now whose key would come out as it stands there."""
    kept: dict[str, Block] = {}
    known = dict(outputs)
    for step in workspace.plan:
        block = before.get(step.name)
        if step.name in outputs or block is None:
            continue
        if not all(need in known for need in step.needs.values()):
            continue
        inputs = {name: known[need] for name, need in step.needs.items()}
        if step.action(inputs).key == block.key:
            kept[step.name] = block
            if block.output is not None:
                known[step.name] = block.output
    return kept


def write(workspace: "Workspace", made: Mapping[str, "Artifact"]) -> str:
    """Only where the content changed. Returns why it could not be written; '' where all is well.

    A build is not worse for a folder that may not be written to, so nothing raises.
    """
    path = path_of(workspace.loaded.path)
    try:
        # In turn with another build that ends in the same moment.
        with workspace.store.claim(digest.of_value(["lock", str(path)])):
            lock = after(workspace, made)
            return _put(path, lock_format.text_of(lock).encode()) if lock.steps else ""
    except OSError as error:
        return f"{path.name} could not be written: {error.strerror or error}"


def _put(path: Path, text: bytes) -> str:
    before = path.read_bytes() if path.exists() else None
    if before == text:
        return ""
    if before and not before.startswith(MARK):
        return f"{path.name} is no lock file of ours, and is left as it is"
    _replace(path, text)
    return ""


def _replace(path: Path, text: bytes) -> None:
    # Hidden, so that no pattern of a recipe can match it; the turn makes the one name safe.
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise

"""Bring the two sides of `diff` to one shape: a recipe, a build of the past, or a git revision."""

import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jessy_build import settings as machine
from jessy_build.diagnostics import StepError
from jessy_build.engine.store import Store
from jessy_build.plan.diff import Change, Diff, Side, diff, shown
from jessy_build.recipe.load import load
from jessy_build.steps import builds

BUILD = re.compile(r"build:(\d+)")
REVISION = re.compile(r"(?P<rev>[^:]+):(?P<path>.+\.ya?ml)")


def side(text: str, overrides: Sequence[str]) -> Side:
    """`build:N`, `REV:path.yaml` or a recipe's path. Overrides apply to recipes on disk."""
    if match := BUILD.fullmatch(text):
        return _build(int(match[1]))
    if not Path(text).exists() and (match := REVISION.fullmatch(text)):
        return _revision(match["rev"], match["path"])
    return _recipe(Path(text), text, overrides)


def compare(left: Side, right: Side) -> Diff:
    return diff(left, right)


def lines(left: Side, right: Side, found: Diff) -> Iterator[str]:
    if found.same:
        yield f"{left.name} and {right.name} are the same"
        return
    yield f"{left.name} → {right.name}"
    yield from _section("fields", found.fields)
    if found.steps or found.only_left or found.only_right:
        yield "steps with other parameters"
        for name, changes in found.steps.items():
            yield f"  {name:24} {', '.join(change.field for change in changes)}"
        for name in found.only_left:
            yield f"  {name:24} only in {left.name}"
        for name in found.only_right:
            yield f"  {name:24} only in {right.name}"


def document(left: Side, right: Side, found: Diff) -> dict[str, Any]:
    return {
        "format": 1,
        "left": left.name,
        "right": right.name,
        "same": found.same,
        "fields": [_entry(change) for change in found.fields],
        "steps": {name: [_entry(c) for c in changes] for name, changes in found.steps.items()},
        "only_left": list(found.only_left),
        "only_right": list(found.only_right),
    }


def _entry(change: Change) -> dict[str, Any]:
    return {"field": change.field, "old": change.old, "new": change.new}


def _section(title: str, changes: Sequence[Change]) -> Iterator[str]:
    if changes:
        yield title
    width = max((len(change.field) for change in changes), default=0)
    for change in changes:
        yield f"  {change.field:{width}}  {shown(change.old)} → {shown(change.new)}"


def _recipe(path: Path, name: str, overrides: Sequence[str]) -> Side:
    workspace = builds.open_workspace(load(path, overrides))
    recipe = workspace.loaded.recipe.model_dump(mode="json")
    return Side(name, recipe, {step.name: step.params for step in workspace.plan})


def _build(number: int) -> Side:
    # A build is looked up in the store of the project that the user stands in.
    store = Store(machine.load(Path("recipe.yaml")).store)
    for build in store.ledger.builds():
        if build.id == number:
            found = {step: store.find(key) for step, key in build.steps.items()}
            params = {s: a.preimage["params"] for s, a in found.items() if a is not None}
            return Side(f"build:{number}", build.config, params)
    known = ", ".join(f"build:{build.id}" for build in store.ledger.builds()[:5])
    raise StepError(
        f"there is no build {number} in {store.root}",
        hint=f"the last ones: {known}" if known else "nothing has been built here yet",
    )


def _revision(revision: str, path: str) -> Side:
    """The recipe with all that stood around it then, unpacked aside; no checkout is touched."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], capture_output=True, check=False
    )
    if archive.returncode:
        reason = archive.stderr.decode(errors="replace").strip()
        raise StepError(f"git knows no revision '{revision}': {reason}", hint="see: git log")
    with tempfile.TemporaryDirectory(prefix="jessy-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        if not (Path(folder) / path).is_file():
            raise StepError(
                f"there is no {path} in {revision}", hint=f"see: git ls-tree {revision}"
            )
        (Path(folder) / "pyproject.toml").touch()
        return _recipe(Path(folder) / path, f"{revision}:{path}", ())

"""Lay the finished files of a build out under `builds/<name>/<version>/` for people to take."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Damaged, Store
from jessy_build.plan.step import Plan
from jessy_build.trainers import metrics

LAID_OUT = {
    "gguf": ".",
    "deploy": ".",
    "report": ".",
    "train": "adapter",
    "select": "adapter",
    "assemble": "dataset",
}
"""Step → folder below the version's."""

LOOKED_INTO = ("generate", "validate", "evaluate", "score")
"""Kinds of steps whose files `show`, `status` and `diff` read: they come along with a build from a
shared store, since they are small. What is large (base, fused model) comes when a step needs it."""

LINKED = 1 << 20
"""Bytes. Larger files are hard links into the store and cost no space; smaller ones are copies,
so that editing one cannot touch the store."""


def laid_out(steps: Collection[str]) -> dict[str, str]:
    """Of a build with these steps. Where one adapter was chosen among several, it is that one."""
    idle = {"train"} if "select" in steps else set()
    return {step: below for step, below in LAID_OUT.items() if step in {*steps} - idle}


def places(folder: Path, made: Mapping[str, Artifact]) -> list[Path]:
    found = [
        folder / below / path for step, below in laid_out(made).items() for path in made[step].tree
    ]
    return [*found, folder / metrics.NAME] if "train" in made else found


def wanted(plan: Plan) -> frozenset[str]:
    """The steps whose files a build leaves here, wherever they were made."""
    kinds = {*laid_out([step.kind for step in plan]), *LOOKED_INTO}
    return frozenset(step.name for step in plan if step.kind in kinds)


def publish(folder: Path, store: Store, made: Mapping[str, Artifact]) -> None:
    """One build at a time, so that what lies there is of one build. Proved before it is taken."""
    with store.claim(f"publish-{digest.of_value(str(folder))}"):
        for step, below in laid_out(made).items():
            _lay_out(folder / below, store, made[step])
        if "train" in made:
            _write_metrics(folder / metrics.NAME, made["train"])


def _lay_out(folder: Path, store: Store, artifact: Artifact) -> None:
    wrong = {path for path, file in artifact.tree.items() if not _same(folder / path, store, *file)}
    if not wrong:
        return
    try:
        store.prove(artifact)
    except Damaged as damage:
        store.forget(artifact)
        raise StepError(f"{artifact.step}: {damage}", hint="build again: it is made anew") from None
    for path in wrong:
        _put(store, folder / path, *artifact.tree[path])


def _write_metrics(target: Path, trained: Artifact) -> None:
    """Of facts: what was measured is no part of what was made, and no step runs for it."""
    lines = metrics.text(trained.facts["curve"], trained.facts["validation"]).encode()
    if target.exists() and target.read_bytes() == lines:
        return
    fresh = _fresh(target)
    fresh.write_bytes(lines)
    fresh.replace(target)


def _put(store: Store, target: Path, sha256: str, size: int) -> None:
    fresh = _fresh(target)
    if size >= LINKED:
        store.link(sha256, fresh)
    else:
        shutil.copyfile(store.object(sha256), fresh)
    fresh.replace(target)


def _fresh(target: Path) -> Path:
    """Where to make a file that then takes the place of `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    return fresh


def _same(target: Path, store: Store, sha256: str, size: int) -> bool:
    if not target.exists():
        return False
    if size >= LINKED:
        return target.samefile(store.object(sha256))
    return target.stat().st_size == size and digest.of_file(target) == sha256

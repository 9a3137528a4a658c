"""Lay the finished files of a build out under `builds/<name>/<version>/` for people to take."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from jessy_build import digest
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Store, link

LAID_OUT = {"gguf": ".", "deploy": ".", "report": ".", "train": "adapter", "assemble": "dataset"}
"""Step → folder below the version's."""

LINKED = 1 << 20
"""Bytes. Larger files are hard links into the store and cost no space; smaller ones are copies,
so that editing one cannot touch the store."""


def places(folder: Path, made: Mapping[str, Artifact]) -> list[Path]:
    return [
        folder / below / path
        for step, below in LAID_OUT.items()
        if step in made
        for path in made[step].tree
    ]


def publish(folder: Path, store: Store, made: Mapping[str, Artifact]) -> None:
    for step, below in LAID_OUT.items():
        if step not in made:
            continue
        for path, (sha256, size) in made[step].tree.items():
            _put(store.object(sha256), folder / below / path, sha256, size)


def _put(source: Path, target: Path, sha256: str, size: int) -> None:
    if target.exists() and (
        target.samefile(source) if size >= LINKED else _same(target, sha256, size)
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    if size >= LINKED:
        link(source, fresh)
    else:
        shutil.copyfile(source, fresh)
    fresh.replace(target)


def _same(target: Path, sha256: str, size: int) -> bool:
    return target.stat().st_size == size and digest.of_file(target) == sha256

"""A model folder on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.bases import folder, local
from jessy_build.diagnostics import StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched

SHAPE = "path:./model-folder"

_SCRATCH = ".copying"


def parse(text: str) -> dict[str, str]:
    return local.parse(text, shape=SHAPE)


def fetch(order: Fetch) -> Fetched:
    source = local.resolve(order)
    if not source.is_dir():
        what = "is a file" if source.is_file() else "is not there"
        hint = "a GGUF file is named as gguf:./file.gguf" if source.is_file() else ""
        raise StepError(f"the base folder {source} {what}", hint=hint)
    names = folder.choose((p.name for p in source.iterdir() if p.is_file()), where=str(source))
    scratch = order.out / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        _copy([source / name for name in names], scratch, order)
        # The copy is looked at, not the original, which may change at any moment.
        folder.verify(scratch, where=str(source))
        return folder.keep(scratch, order.out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(files: list[Path], target: Path, order: Fetch) -> None:
    done, total = 0, sum(file.stat().st_size for file in files)
    for file in files:
        with file.open("rb") as stream:
            piece = local.Piece(stream, file.stat().st_size)
            local.join([piece], target / file.name, order, what=file.name, before=done, total=total)
        done += piece.size

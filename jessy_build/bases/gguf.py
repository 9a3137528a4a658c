"""One GGUF file on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jessy_build.bases import local
from jessy_build.diagnostics import StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched

SHAPE = "gguf:./file.gguf"


def parse(text: str) -> dict[str, str]:
    return local.parse(text, shape=SHAPE)


def fetch(order: Fetch) -> Fetched:
    source = local.resolve(order)
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "is not there"
        raise StepError(f"the base file {source} {what}", hint=f"{SHAPE} is expected")
    with source.open("rb") as stream:
        return local.keep_gguf([local.Piece(stream, source.stat().st_size)], order)

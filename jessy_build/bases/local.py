"""Files of this machine: paths that a base names, and copies that can be watched and stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from jessy_build.diagnostics import StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched

CHUNK = 1 << 20
MAGIC = b"GGUF"
RESULT = "model.gguf"


class Piece(NamedTuple):
    """A part of a file that is joined out of several."""

    stream: IO[bytes]
    size: int


def parse(text: str, *, shape: str) -> dict[str, str]:
    if not text or "\0" in text:
        raise ValueError(f"'{text}' is no path; {shape} is expected")
    return {"path": text}


def resolve(order: Fetch) -> Path:
    return (order.origin_dir / Path(order.fields["path"]).expanduser()).resolve()


def stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise KeyboardInterrupt


def keep_gguf(pieces: Sequence[Piece], order: Fetch) -> Fetched:
    """Join the pieces into one GGUF file; it gets its name once it is proved."""
    target = order.out / RESULT
    partial = target.with_suffix(".partial")
    try:
        sha256 = join(pieces, partial, order, what="copying the base")
        if order.sha256 is not None and sha256 != order.sha256:
            raise StepError(
                f"the base has the wrong sha256: expected {order.sha256}, got {sha256}",
                hint="nothing was kept; if the new file is the one you want, put its sha256 "
                "into the recipe's base.sha256",
            )
        _must_be_gguf(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    from jessy_build.bases.order import Fetched

    return Fetched("gguf", target)


def join(
    pieces: Sequence[Piece],
    target: Path,
    order: Fetch,
    *,
    what: str,
    before: int = 0,
    total: int | None = None,
) -> str:
    """Write the pieces one after the other; returns the sha256 of the whole.

    Always a copy of its own: through a link, an edit of the original would reach the store.
    `before` and `total` are bytes, for a target that is one of several.
    """
    sha256, done = hashlib.sha256(), before
    total = sum(piece.size for piece in pieces) if total is None else total
    with target.open("wb") as file:
        for piece in pieces:
            while chunk := piece.stream.read(CHUNK):
                stop_if(order.cancelled)
                sha256.update(chunk)
                file.write(chunk)
                done += len(chunk)
                order.progress(done, total, what)
        file.flush()
        os.fsync(file.fileno())
    return sha256.hexdigest()


def _must_be_gguf(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC:
        raise StepError(
            f"the base is no GGUF file: it begins with {head!r}",
            hint="name a .gguf file in base.model, or a model folder with path:",
        )

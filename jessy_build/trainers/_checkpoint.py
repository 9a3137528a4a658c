"""A training's state in one file, replaced as a whole: a kill leaves the old one or the new one."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    step: int
    """Optimizer updates that are in it."""
    adapter: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    best: Mapping[str, Any]
    """The adapter with the lowest validation loss so far; may be empty."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Plain values: the random state, the curve, counters."""


def save(folder: Path, job: str, checkpoint: Checkpoint) -> None:
    import mlx.core as mx

    parts = {
        "adapter": checkpoint.adapter,
        "optimizer": checkpoint.optimizer,
        "best": checkpoint.best,
    }
    arrays = {f"{part}/{name}": a for part, named in parts.items() for name, a in named.items()}
    plain = json.dumps({"step": checkpoint.step, "state": checkpoint.state})
    proof = _proof(arrays, plain)
    # MLX adds the suffix to a name that lacks it.
    half_made = folder / f"half-made.{os.getpid()}.safetensors"
    mx.save_safetensors(
        str(half_made), arrays, metadata={"job": job, "plain": plain, "proof": proof}
    )
    with half_made.open("rb") as written:
        os.fsync(written.fileno())
    half_made.replace(folder / NAME)


def finite(checkpoint: Checkpoint) -> bool:
    """A state with a NaN in it must not become one to go on from."""
    import mlx.core as mx

    sound = [mx.isfinite(array).all() for array in checkpoint.adapter.values()]
    return bool(mx.stack(sound).all())


def load(folder: Path, job: str) -> Checkpoint | None:
    """None when there is none, or when it belongs to another job than this one."""
    import mlx.core as mx

    for left_over in folder.glob("half-made.*"):
        left_over.unlink(missing_ok=True)
    if not (folder / NAME).is_file():
        return None
    try:
        loaded: Any = mx.load(str(folder / NAME), return_metadata=True)
    except RuntimeError:
        # Damaged on the disk, since it was written as a whole: start over.
        return None
    arrays, metadata = loaded
    if metadata.get("job") != job:
        return None
    plain = json.loads(metadata["plain"])
    if metadata.get("proof") != _proof(arrays, metadata["plain"]):
        # Somebody has changed it: no adapter may come of numbers that no training gave.
        return None
    parts: dict[str, dict[str, Any]] = {"adapter": {}, "optimizer": {}, "best": {}}
    for name, a in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = a
    # Read now: the file under a lazy array may be replaced by the next checkpoint.
    mx.eval(arrays)
    return Checkpoint(plain["step"], **parts, state=plain["state"])


def _proof(arrays: Mapping[str, Any], plain: str) -> str:
    """Of every number in it: the scratch folder lies open to anybody's hands."""
    sha256 = hashlib.sha256(plain.encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha256.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(memoryview(array).tobytes())
    return sha256.hexdigest()

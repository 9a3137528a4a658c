"""A training's state in one file, replaced as a whole: a kill leaves the old one or the new one."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
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
    """Plain values: the random state, the curve, counters. A dataclass comes back as a dict."""


def save(folder: Path, job: str, checkpoint: Checkpoint) -> None:
    settle(write(folder, job, checkpoint))


def write(folder: Path, job: str, checkpoint: Checkpoint) -> Path:
    """The whole file, beside the place where `settle` puts it. Who is killed before that has not
    lost it; a machine that goes down may have."""
    import mlx.core as mx

    parts = {
        "adapter": checkpoint.adapter,
        "optimizer": checkpoint.optimizer,
        "best": checkpoint.best,
    }
    arrays = {f"{part}/{name}": a for part, named in parts.items() for name, a in named.items()}
    plain = json.dumps({"step": checkpoint.step, "state": checkpoint.state}, default=asdict)
    proof = _proof(arrays, plain)
    # MLX adds the suffix to a name that lacks it.
    half_made = folder / f"half-made.{os.getpid()}.safetensors"
    mx.save_safetensors(
        str(half_made), arrays, metadata={"job": job, "plain": plain, "proof": proof}
    )
    return half_made.replace(folder / f"whole.{os.getpid()}.safetensors")


def settle(whole: Path) -> None:
    """Once it is on the disk, it replaces the former one."""
    with whole.open("rb") as written:
        os.fsync(written.fileno())
    whole.replace(whole.with_name(NAME))


def finite(checkpoint: Checkpoint) -> bool:
    """A state with a NaN in it must not become one to go on from."""
    import numpy as np

    # By numpy: MLX takes twelve times as long for it on a CPU.
    return all(np.isfinite(np.asarray(array)).all() for array in checkpoint.adapter.values())


def load(folder: Path, job: str) -> Checkpoint | None:
    """The newest. None when there is none, or none of this job."""
    for left_over in folder.glob("half-made.*"):
        left_over.unlink(missing_ok=True)
    unsettled = [*folder.glob("whole.*")]
    # In this order: another rank may put one of the first in the place of the last.
    read = {file: found for file in (*unsettled, folder / NAME) if (found := _read(file, job))}
    newest = max(read, key=lambda file: read[file].step, default=None)
    for file in unsettled:
        # Where it is gone, another rank was here first.
        with suppress(FileNotFoundError):
            settle(file) if file == newest else file.unlink()
    return read[newest] if newest else None


def _read(file: Path, job: str) -> Checkpoint | None:
    import mlx.core as mx

    if not file.is_file():
        return None
    try:
        loaded: Any = mx.load(str(file), return_metadata=True)
        arrays, metadata = loaded
        if metadata.get("job") != job:
            return None
        # Read now: the file under a lazy array may be replaced by the next checkpoint.
        mx.eval(arrays)
    except RuntimeError:
        # Damaged on the disk, since it was written as a whole: it is no checkpoint.
        return None
    plain = json.loads(metadata["plain"])
    if metadata.get("proof") != _proof(arrays, metadata["plain"]):
        # Somebody has changed it: no adapter may come of numbers that no training gave.
        return None
    parts: dict[str, dict[str, Any]] = {"adapter": {}, "optimizer": {}, "best": {}}
    for name, a in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = a
    return Checkpoint(plain["step"], **parts, state=plain["state"])


def _proof(arrays: Mapping[str, Any], plain: str) -> str:
    """Of every number in it: the scratch folder lies open to anybody's hands."""
    import numpy as np

    sha256 = hashlib.sha256(plain.encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha256.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(np.asarray(array).reshape(-1))
    return sha256.hexdigest()

"""The tensors of a model folder as numbers, also where MLX keeps its matrices in few bits.

Such a matrix is three tensors: NAME.weight, rows packed into words of 32 bits; NAME.scales, one for
each group of columns; NAME.biases, which only the affine mode has.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging.safetensors_file import BLOCK_VALUES, PACKED, Stored, table

WORD = 32
"""Bits in a packed word."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """To be read like a `Stored`: rows of F32."""

    parts: tuple[Stored, ...]
    """Words, scales and, in the affine mode, biases."""
    group_size: int
    bits: int
    mode: str

    @property
    def dtype(self) -> str:
        return "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        *rows, words = self.parts[0].shape
        return (*rows, words * WORD // self.bits)

    @property
    def rows(self) -> int:
        return self.parts[0].rows

    def whole(self) -> Any:
        import numpy as np

        return np.concatenate(list(self.blocks())).reshape(self.shape)

    def blocks(self, order: Any | None = None) -> Iterator[Any]:
        import mlx.core as mx
        import numpy as np

        each = max(1, BLOCK_VALUES // self.shape[-1])
        for arrays in zip(*(part.blocks(order, each) for part in self.parts), strict=True):
            words, *grid = (mx.array(array) for array in arrays)
            # Scales of a byte each are floats of a kind of their own.
            grid = [one if one.dtype == mx.uint8 else one.astype(mx.float32) for one in grid]
            values = mx.dequantize(
                words,
                grid[0],
                grid[1] if grid[1:] else None,
                group_size=self.group_size,
                bits=self.bits,
                mode=self.mode,
            )
            yield np.array(values.astype(mx.float32))


Tensor = Stored | Rounded


def open_model(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model folder, from one file or from the shards that an index names."""
    tensors: dict[str, Stored] = {}
    for file in _files(folder):
        tensors |= table(file, PACKED)
    packed = {name: one for name, one in tensors.items() if one.dtype in PACKED}
    if not packed:
        return dict(tensors)
    said = _quantization(folder / "config.json")
    beside = {stem + word for stem in map(_stem, packed) for word in (".scales", ".biases")}
    kept: dict[str, Tensor] = {n: t for n, t in tensors.items() if n not in beside | packed.keys()}
    for name, words in packed.items():
        if name not in beside:
            kept[name] = _rounded(name, words, tensors, said)
    return kept


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise StepError(f"{folder} holds no model.safetensors")
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StepError(f"{index} is no index of safetensors shards") from None
    if any(Path(name).name != name for name in names):
        raise StepError(f"{index} names a shard outside its own folder")
    return [folder / name for name in names]


def _quantization(file: Path) -> Mapping[str, Any]:
    """For all matrices, and by name where some differ."""
    try:
        said = json.loads(file.read_text("utf-8")).get("quantization")
    except (OSError, ValueError, AttributeError):
        said = None
    return said if isinstance(said, dict) else {}


def _rounded(
    name: str, words: Stored, tensors: Mapping[str, Stored], said: Mapping[str, Any]
) -> Rounded:
    stem = _stem(name)
    own = said.get(stem)
    how = {**said, **own} if isinstance(own, dict) else said
    beside = [tensors.get(stem + word) for word in (".scales", ".biases")]
    parts = (words, *(one for one in beside if one))
    size, bits, mode = how.get("group_size"), how.get("bits"), how.get("mode", "affine")
    wanted = 3 if mode == "affine" else 2
    whole = words.dtype == "U32" and len(parts) == wanted and len({p.rows for p in parts}) == 1
    if not (whole and isinstance(size, int) and isinstance(bits, int)):
        raise StepError(
            f"{words.file}: tensor '{name}' is {words.dtype}, and what it stands for is not said"
            " in config.json and the tensors beside it",
            hint="choose a base whose weights are floats, or quantised as MLX does it",
        )
    return Rounded(parts, size, bits, mode)


def _stem(name: str) -> str:
    return name.removesuffix(".weight").removesuffix(".scales").removesuffix(".biases")

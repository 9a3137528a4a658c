"""Read a GGUF file's header and tensors without holding them: plain values, and row blocks.

The `gguf` package's own reader makes a NumPy view per vocabulary entry, which takes a quarter of a
minute for Gemma's 262,144; here only the dequantising is its.
"""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import MissingPackage, StepError

SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9
BLOCK_VALUES = 1 << 22
"""How many weights are dequantised at a time: 16 MB of float32."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """Rows first, as NumPy and Hugging Face count; the file has it the other way round."""
    kind: int
    offset: int

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    @property
    def row_length(self) -> int:
        return self.shape[-1]


@dataclass(frozen=True, slots=True)
class GgufFile:
    path: Path
    meta: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    data: Any

    def blocks(self, tensor: Tensor, order: Any | None = None) -> Iterator[Any]:
        """The tensor as float32 blocks of whole rows, in `order` when that is given.

        Quantised blocks never cross a row, so rows can change places before they are read.
        """
        import numpy as np

        kind = _quantisation(tensor, self.path)
        raw = self._bytes_of(tensor, kind).reshape(tensor.rows, -1)
        step = max(1, BLOCK_VALUES // tensor.row_length)
        for start in range(0, tensor.rows, step):
            rows = raw[start : start + step] if order is None else raw[order[start : start + step]]
            yield _dequantised(np.ascontiguousarray(rows), kind)

    def whole(self, tensor: Tensor) -> Any:
        import numpy as np

        return np.concatenate(list(self.blocks(tensor))).reshape(tensor.shape)

    def _bytes_of(self, tensor: Tensor, kind: Any) -> Any:
        block, size = _gguf().GGML_QUANT_SIZES[kind]
        count = tensor.rows * tensor.row_length // block * size
        return self.data[tensor.offset : tensor.offset + count]


def open_gguf(path: Path) -> GgufFile:
    """Header and tensor table, checked against the file's size; weights stay on disk."""
    _gguf()
    import numpy as np

    try:
        with path.open("rb") as file:
            if path.stat().st_size < 24:
                raise _broken(path, "it is shorter than a GGUF header")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                meta, infos, start = _header(view, path)
        data = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise StepError(f"cannot read {path}: {error.strerror or error}") from error
    alignment = meta.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise _broken(path, f"its alignment is {alignment!r}")
    if meta.get("split.count", 1) > 1:
        raise StepError(
            f"{path} is one part of a GGUF split into {meta['split.count']}",
            hint="join the parts with `llama-gguf-split --merge` first",
        )
    start += -start % alignment
    tensors = {}
    for name, shape, kind, offset in infos:
        tensor = Tensor(name, shape, kind, start + offset)
        block, size = _gguf().GGML_QUANT_SIZES[_quantisation(tensor, path)]
        if tensor.row_length % block:
            raise _broken(path, f"rows of tensor '{name}' do not fill whole blocks")
        if tensor.offset + tensor.rows * tensor.row_length // block * size > len(data):
            raise _broken(path, f"tensor '{name}' reaches past the end of the file (cut off?)")
        tensors[name] = tensor
    return GgufFile(path, meta, tensors, data)


def architecture(path: Path) -> str | None:
    """As its settings name it, which begin with that; None where it cannot be told."""
    with (
        suppress(OSError, ValueError, EOFError, struct.error, KeyError, OverflowError),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
    ):
        cursor = _Cursor(view)
        cursor.take(16)
        for _ in range(cursor.scalar("Q")):
            key = cursor.string()
            value = cursor.value(cursor.scalar("I"))
            if key == "general.architecture":
                return str(value)
    return None


class _Cursor:
    """Little-endian values, one after another, out of a buffer."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self.at = 0

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.buffer, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def take(self, count: int) -> bytes:
        if count > len(self.buffer) - self.at:
            raise EOFError
        self.at += count
        return self.buffer[self.at - count : self.at]

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.scalar("I"), self.scalar("Q")
            if inner in SCALARS:
                code = SCALARS[inner]
                size = struct.calcsize("<" + code)
                return list(struct.unpack(f"<{count}{code}", self.take(count * size)))
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])


def _header(
    view: mmap.mmap, path: Path
) -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], int, int]], int]:
    cursor = _Cursor(view)
    if cursor.take(4) != b"GGUF":
        raise StepError(f"{path} is not a GGUF file: it does not begin with 'GGUF'")
    version = cursor.scalar("I")
    if version not in (2, 3):
        raise StepError(f"{path} is a GGUF of version {version}; versions 2 and 3 can be read")
    try:
        tensor_count, key_count = cursor.scalar("Q"), cursor.scalar("Q")
        meta = {}
        for _ in range(key_count):
            key = cursor.string()
            meta[key] = cursor.value(cursor.scalar("I"))
        infos = []
        for _ in range(tensor_count):
            name = cursor.string()
            dimensions = cursor.scalar("I")
            if not 1 <= dimensions <= 4:
                raise _broken(path, f"tensor '{name}' has {dimensions} dimensions")
            shape = tuple(cursor.scalar("Q") for _ in range(dimensions))[::-1]
            if 0 in shape:
                raise _broken(path, f"tensor '{name}' is empty")
            infos.append((name, shape, cursor.scalar("I"), cursor.scalar("Q")))
    except (EOFError, struct.error):
        raise _broken(path, "it ends inside its header (cut off?)") from None
    except (KeyError, UnicodeDecodeError, RecursionError, MemoryError, OverflowError):
        raise _broken(path, "its header makes no sense") from None
    return meta, infos, cursor.at


def _broken(path: Path, why: str) -> StepError:
    return StepError(f"{path} is a broken GGUF: {why}", hint="fetch the file again")


def _quantisation(tensor: Tensor, path: Path) -> Any:
    try:
        kind = _gguf().GGMLQuantizationType(tensor.kind)
    except ValueError:
        kind = None
    if kind is None or not _can_dequantise(kind):
        name = kind.name if kind is not None else f"type {tensor.kind}"
        raise StepError(
            f"{path}: tensor '{tensor.name}' is quantised as {name}, which cannot be read back",
            hint="take a file in F16, BF16, Q8_0, Q4_0 … Q5_1, Q2_K … Q6_K",
        )
    return kind


def _can_dequantise(kind: Any) -> bool:
    from gguf import quants

    return kind.name in ("F32", "F16") or kind in quants._type_traits


def _dequantised(rows: Any, kind: Any) -> Any:
    import numpy as np

    if kind.name == "F32":
        return rows.view(np.float32)
    if kind.name == "F16":
        return rows.view(np.float16).astype(np.float32)
    return _gguf().dequantize(rows, kind)


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        raise MissingPackage(
            "gguf", needed_for="reading a GGUF", install="uv pip install 'jessy-build[mlx]'"
        ) from None
    return gguf

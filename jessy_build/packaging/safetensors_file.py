"""Read and write safetensors row block by row block, so that no model is ever whole in memory.

The bytes written depend on the tensors alone: names in sorted order, no time stamps.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jessy_build.diagnostics import StepError

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
PACKED = {"U32": 4, "U8": 1}
"""Of quantised MLX models: no numbers by themselves."""
WORDS = {"F32": "float32", "F16": "float16", "BF16": "uint16", "U32": "uint32", "U8": "uint8"}
"""What NumPy calls them; it has no BF16."""
BLOCK_VALUES = 1 << 19
"""So many fit into a core's own cache, and are copied in two thirds of the time."""
HEADER_LIMIT = 100_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one tensor lies."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    def whole(self) -> Any:
        import numpy as np

        return np.concatenate(list(self.blocks())).reshape(self.shape)

    def blocks(self, order: Any | None = None, each: int | None = None) -> Iterator[Any]:
        """Blocks of whole rows, in `order` when given, of `each` many; BF16 becomes F32."""
        import numpy as np

        shape = (self.rows, self.shape[-1])
        data: Any = np.memmap(
            self.file,
            dtype=getattr(np, WORDS[self.dtype]),
            mode="r",
            offset=self.offset,
            shape=shape,
        )
        step = each or max(1, BLOCK_VALUES // shape[1])
        for start in range(0, shape[0], step):
            block = (
                data[start : start + step] if order is None else data[order[start : start + step]]
            )
            if self.dtype == "BF16":
                block = (block.astype(np.uint32) << 16).view(np.float32)
            yield np.asarray(block)


def table(path: Path, also: Mapping[str, int] = MappingProxyType({})) -> dict[str, Stored]:
    """Every tensor of one file. Other kinds than floats, and those in `also`, are refused."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(HEADER_LIMIT, size - 8):
                raise StepError(f"{path} is no safetensors file, or it was cut off")
            header = json.loads(file.read(length))
    except OSError as error:
        raise StepError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError:
        raise StepError(f"{path} is no safetensors file: its header makes no sense") from None
    tensors, widths = {}, {**WIDTHS, **also}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = entry["dtype"], tuple(entry["shape"]) or (1,)
        if dtype not in widths:
            raise StepError(
                f"{path}: tensor '{name}' is {dtype}; F32, F16 and BF16 can be packaged",
                hint="choose a base whose weights are floats, or quantised as MLX does it",
            )
        begin, end = entry["data_offsets"]
        if end - begin != math.prod(shape) * widths[dtype] or 8 + length + end > size:
            raise StepError(f"{path}: tensor '{name}' does not fit into the file (cut off?)")
        tensors[name] = Stored(path, dtype, shape, 8 + length + begin)
    return tensors


def write(
    path: Path,
    layout: Mapping[str, tuple[str, tuple[int, ...]]],
    blocks: Mapping[str, Iterable[Any]],
) -> None:
    """`layout` is name → (dtype, shape); `blocks` yields each tensor's values in order."""
    import numpy as np

    words = {"F32": np.float32, "F16": np.float16}
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for name in sorted(layout):
        dtype, shape = layout[name]
        end = offset + math.prod(shape) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(layout):
            for block in blocks[name]:
                file.write(np.ascontiguousarray(block, dtype=words[layout[name][0]]).data)

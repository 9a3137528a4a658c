"""How fast a base is written as an F16 GGUF, beside dd on the same disk, and in what memory.

Both write as many bytes and end with fsync; dd copies zeros, so its figure is the disk's own.
They take turns, and each turn of ours is a process of its own.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import models
from run import HERE, keep
from timing import table

TURNS = 5
AT_LEAST = 0.5
"""Of dd's speed."""
AT_MOST_MB = 500
"""Above the largest tensor."""


def main() -> int:
    if len(sys.argv) == 3:
        print(json.dumps(_written(Path(sys.argv[1]), Path(sys.argv[2]))))
        return 0
    figures = {}
    # Beside the results, as the store lies beside a recipe: a temporary folder may be in memory.
    with tempfile.TemporaryDirectory(prefix="jessy-bench-", dir=HERE) as folder:
        for name in models.BASES:
            figures[name] = _measured(models.base(name, Path(folder) / name), Path(folder))
    table(
        [(name, *(str(value) for value in found.values())) for name, found in figures.items()],
        ("base", *next(iter(figures.values()))),
    )
    low = [name for name, found in figures.items() if found["ratio"] < AT_LEAST]
    much = [name for name, found in figures.items() if found["mb_above_the_largest"] > AT_MOST_MB]
    keep("export", {"at_least": AT_LEAST, "at_most_mb": AT_MOST_MB, "figures": figures})
    for name in low:
        print(f"  {name}: {AT_LEAST} of dd's speed is expected")
    for name in much:
        print(f"  {name}: at most {AT_MOST_MB} MB above the largest tensor are expected")
    return int(bool(low or much))


def _measured(base: Path, folder: Path) -> dict[str, float]:
    """`before`: settings and vocabulary, which take as long whatever the weights; `weights` are
    what comes then. Ratios are medians of turns, each with the dd that came right behind it."""
    _read_once(base)
    turns, dds = [], []
    for _ in range(TURNS):
        turns.append(_in_a_process(base, folder / "base.gguf"))
        dds.append(_dd(folder / "zeros", int(turns[-1]["bytes"])))
    size, pairs = turns[0]["bytes"] / 1e6, list(zip(turns, dds, strict=True))
    seconds = statistics.median(turn["seconds"] for turn in turns)
    peak = max(turn["peak_memory"] for turn in turns)
    return {
        "mb": round(size),
        "mb_a_second": round(size / seconds),
        "dd_mb_a_second": round(size / statistics.median(dds)),
        "ratio": _middle(dd / turn["seconds"] for turn, dd in pairs),
        "weights_ratio": _middle(dd / (turn["seconds"] - turn["before"]) for turn, dd in pairs),
        "before_seconds": _middle(turn["before"] for turn in turns),
        "mb_above_the_largest": round((peak - _largest(base)) / 1e6),
    }


def _middle(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


def _written(base: Path, out: Path) -> dict[str, float]:
    # What the package is made of is loaded once a build, whatever is written.
    import gguf  # noqa: F401
    import numpy  # noqa: F401

    from jessy_build.packaging import gguf_write
    from jessy_build.trainers import _result

    out.unlink(missing_ok=True)
    first: list[float] = []
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        first.append(time.perf_counter() - began)

    gguf_write.write(base, out, kind="f16", name="base", progress=progress)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "before": first[0],
        "bytes": out.stat().st_size,
        "peak_memory": _result.peak_memory(),
    }


def _in_a_process(base: Path, out: Path) -> dict[str, float]:
    words = [sys.executable, str(HERE / "export.py"), str(base), str(out)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def _dd(out: Path, size: int) -> float:
    out.unlink(missing_ok=True)
    words = ["dd", "if=/dev/zero", f"of={out}", "bs=1M", f"count={size}", "iflag=count_bytes"]
    began = time.perf_counter()
    subprocess.run([*words, "conv=fsync"], check=True, capture_output=True)
    return time.perf_counter() - began


def _read_once(base: Path) -> None:
    """A base has just been fetched or trained on, so it lies in the system's memory."""
    for file in base.iterdir():
        with file.open("rb") as data:
            while data.read(1 << 24):
                pass


def _largest(base: Path) -> int:
    """Bytes of the largest tensor, as it is stored there."""
    from jessy_build.packaging import mlx_weights, safetensors_file

    tensors = mlx_weights.open_model(base).values()
    return max(math.prod(t.shape) * safetensors_file.WIDTHS[t.dtype] for t in tensors)


if __name__ == "__main__":
    sys.exit(main())

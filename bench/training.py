"""Training throughput of SmolLM2-135M with and without the BLAS, in few steps: those are long.

Gradients only, without mlx-lm's loop and validation: the time that the BLAS is there to save.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import models
from run import HERE, keep

ROWS = HERE.parent / "recipes" / "curated" / "smalltalk.jsonl"
AT_LEAST = 20.0
STEPS = {"": 6, "none": 2}
"""JESSY_BLAS → measured steps, after one that is not."""
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def main() -> int:
    if len(sys.argv) == 3:
        print(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        base = models.base(models.SMOLLM2, Path(folder) / "base")
        fast, slow = (_in_a_process(base, wish) for wish in STEPS)
    ratio = fast["tokens_per_second"] / slow["tokens_per_second"]
    keep(
        "training",
        {
            "model": "SmolLM2-135M, LoRA rank 16, all projections, fp32",
            "blas": fast["blas"],
            "tokens_per_second": round(fast["tokens_per_second"], 1),
            "tokens_per_second_without": round(slow["tokens_per_second"], 2),
            "ratio": round(ratio, 1),
            "matmul_gflops": round(fast["gflops"], 1),
            "matmul_gflops_without": round(slow["gflops"], 1),
            "peak_memory_mb": round(fast["peak_memory"] / 1e6),
        },
    )
    if ratio < AT_LEAST:
        print(f"  the BLAS makes training {ratio:.1f} times faster; {AT_LEAST:.0f} are expected")
    return int(ratio < AT_LEAST)


def _in_a_process(base: Path, wish: str) -> dict[str, float]:
    """As training does it: one thread for each product, the rows shared among the cores."""
    env = {**os.environ, **dict.fromkeys(THREADS, "1"), "JESSY_BLAS": wish}
    done = subprocess.run(
        [sys.executable, __file__, str(base), str(STEPS[wish])],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measured(base: Path, steps: int) -> dict[str, object]:
    from tokenizers import Tokenizer

    from jessy_build import blas
    from jessy_build.chat import Chat
    from jessy_build.trainers import _batches, _model, _result, _rows
    from jessy_build.trainers.config import Lora

    learner = _model.learner(base, Lora(), seed=42)
    gflops = blas.probe()
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    rows = _rows.read(
        ROWS,
        Chat.load(base),
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        2048,
    )
    batches = _batches.schedule(
        rows,
        _batches.Sizes(8, 448),
        average="token",
        accumulation=1,
        seed=42,
        epochs=None,
        updates=steps + 1,
    )
    speeds = [_speed(learner, [rows[i] for i in batch.rows], batch.share) for batch in batches]
    learner.close()
    return {
        "blas": learner.blas,
        "gflops": gflops,
        "tokens_per_second": statistics.median(speeds[1:]),
        "peak_memory": _result.peak_memory(),
    }


def _speed(learner: Any, rows: list[Any], share: float) -> float:
    import mlx.core as mx
    import mlx.nn as nn

    from jessy_build.trainers import _batches

    count = min(learner.parts, len(rows))
    parts = [_batches.pack(rows[i::count], "token", share) for i in range(count)]
    begin = time.perf_counter()
    mx.eval(
        nn.value_and_grad(learner.model, learner.training)(
            learner.model, *_batches.as_arrays(parts)
        )
    )
    return sum(part.tokens for part in parts) / (time.perf_counter() - begin)


if __name__ == "__main__":
    sys.exit(main())

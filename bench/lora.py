"""Training beside `mlx_lm.lora`: the same base, rows, settings and BLAS, in turn, on this machine.

Both read each row once a pass, in batches of the same number of rows, and learn from the same
answers; which rows are together differs. Only the last pass counts: in the first, files and graphs
are new.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import models
from run import HERE, keep
from timing import table

ROWS = {"smalltalk": 20, "questions": 9, "depth": 3}
"""File of recipes/curated → rows of one question and one answer that are taken from it."""
BATCH = 4
PASSES, WARM = 2, 1
TURNS = 2
RANK, ALPHA, RATE, SEED, LONGEST = 16, 32.0, 1e-4, 42, 2048
AT_LEAST = {models.GEMMA: 2.0, models.SMOLLM2: 1.3}
"""Of the speed of mlx_lm.lora, on a Linux CPU; elsewhere never slower."""
MOST_OVERHEAD = 0.02
"""Share of the time that checkpoints, the curve and all else around the steps may take."""


def main() -> int:
    if len(sys.argv) > 1:
        print(json.dumps(SIDES[sys.argv[1]](Path(sys.argv[2]))))
        return 0
    figures = {}
    with tempfile.TemporaryDirectory(prefix="jessy-bench-", dir=HERE) as folder:
        for name in models.BASES:
            figures[name] = _measured(_project(name, Path(folder) / name))
    columns = tuple(next(iter(figures.values())))
    table(
        [(name, *(str(value) for value in found.values())) for name, found in figures.items()],
        ("base", *columns),
    )
    keep("lora", {"at_least": AT_LEAST, "most_overhead": MOST_OVERHEAD, "figures": figures})
    slow = [name for name, found in figures.items() if found["ratio"] < AT_LEAST[name]]
    for name in slow:
        print(f"  {name}: {AT_LEAST[name]} times the speed of mlx_lm.lora are expected")
    much = [name for name, found in figures.items() if found["overhead"] > MOST_OVERHEAD]
    for name in much:
        print(f"  {name}: at most {MOST_OVERHEAD:.0%} around the steps are expected")
    heavy = [name for name, found in figures.items() if found["peak_mb"] > found["mlx_lm_peak_mb"]]
    for name in heavy:
        print(f"  {name}: no more memory than mlx_lm.lora takes is expected")
    return int(bool(slow or much or heavy))


def _project(name: str, folder: Path) -> Path:
    """A base in float32, which both compute in, and rows that both read to the same tokens."""
    import mlx.core as mx

    base = models.base(name, folder / "base")
    for file in base.glob("*.safetensors"):
        weights: Any = mx.load(str(file))
        wide = {name: array.astype(mx.float32) for name, array in weights.items()}
        mx.eval(wide)
        mx.save_safetensors(str(file), wide, metadata={"format": "mlx"})
    dataset = folder / "dataset"
    dataset.mkdir()
    (dataset / "train.jsonl").write_text("".join(_rows()), encoding="utf-8")
    (dataset / "valid.jsonl").write_text("", encoding="utf-8")
    return folder


def _rows() -> list[str]:
    kept: list[str] = []
    for name, count in ROWS.items():
        text = (HERE.parent / "recipes" / "curated" / f"{name}.jsonl").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if len(json.loads(line)["messages"]) == 2]
        kept += [line + "\n" for line in lines[:count]]
    assert len(kept) == sum(ROWS.values()) and len(kept) % BATCH == 0
    return kept


def _measured(folder: Path) -> dict[str, float]:
    ours, theirs = [], []
    for _ in range(TURNS):
        theirs.append(_in_a_process("theirs", folder))
        ours.append(_in_a_process("ours", folder))
    # mlx-lm reads what its template says behind the last answer, too; each is told by its own.
    apart = abs(theirs[0]["tokens"] - ours[0]["tokens"])
    assert apart <= sum(ROWS.values()) * (PASSES - WARM), f"other tokens: {theirs[0]}, {ours[0]}"
    fast, slow = (max(turn["speed"] for turn in turns) for turns in (ours, theirs))
    return {
        "tokens_per_second": round(fast, 1),
        "mlx_lm": round(slow, 1),
        "ratio": round(fast / slow, 2),
        "padding": round(ours[0]["padding"], 3),
        "mlx_lm_padding": round(theirs[0]["padding"], 3),
        "overhead": round(min(turn["overhead"] for turn in ours), 4),
        "peak_mb": round(max(turn["peak"] for turn in ours) / 1e6),
        "mlx_lm_peak_mb": round(max(turn["peak"] for turn in theirs) / 1e6),
    }


def _in_a_process(side: str, folder: Path) -> dict[str, float]:
    words = [sys.executable, str(HERE / "lora.py"), side, str(folder)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    print(f"  {folder.name}, {side}: {found['speed']:.1f} tokens/s", flush=True)
    return found


def _ours(folder: Path) -> dict[str, float]:
    """As a build trains, in its own process; the moments are those of this side of the pipe."""
    from jessy_build.trainers import lora
    from jessy_build.trainers.config import Config, Lora, Optimizer

    seen: dict[int, float] = {}

    def emit(progress: lora.Progress) -> None:
        seen[progress.done] = time.perf_counter()

    with tempfile.TemporaryDirectory(dir=folder) as work:
        config = Config(
            lora=Lora(rank=RANK, alpha=ALPHA),
            optimizer=Optimizer(learning_rate=RATE, schedule="constant"),
            epochs=PASSES,
            batch_size=BATCH,
            batch_tokens=0,
            seed=SEED,
        )
        job = lora.TrainJob(
            base=folder / "base",
            dataset=folder / "dataset",
            out=Path(work) / "out",
            work=Path(work) / "work",
            config=config,
        )
        run = lora.train(job, emit, lambda: False)
    begin = next(point for point in run.curve if point.epoch >= WARM)
    end = run.curve[-1]
    seconds = end.seconds - begin.seconds
    tokens = run.tokens * (PASSES - WARM) // PASSES
    return {
        "tokens": tokens,
        "speed": tokens / seconds,
        "padding": run.padding,
        "overhead": 1 - seconds / (seen[end.step] - seen[begin.step]),
        "peak": run.peak_memory,
    }


def _theirs(folder: Path) -> dict[str, float]:
    """What `mlx_lm.lora --train --mask-prompt` does, without its looks at validation rows."""
    from jessy_build import blas

    blas.install()
    from mlx_lm import lora
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.datasets import create_dataset

    from jessy_build.trainers import _result
    from jessy_build.trainers._model import _keys

    model, tokenizer = lora.load(str(folder / "base"))
    settings = {
        **lora.CONFIG_DEFAULTS,
        "train": True,
        "model": str(folder / "base"),
        "data": str(folder / "dataset"),
        "adapter_path": str(folder / "adapters"),
        "optimizer": "adamw",
        "optimizer_config": {"adamw": {"bias_correction": True, "weight_decay": 0.0}},
        "learning_rate": RATE,
        "num_layers": len(model.layers),
        "lora_parameters": {
            "rank": RANK,
            "scale": ALPHA / RANK,
            "dropout": 0.0,
            "keys": _keys(model.layers, "all-linear"),
        },
        "batch_size": BATCH,
        "iters": sum(ROWS.values()) // BATCH * PASSES,
        "steps_per_report": 1,
        "max_seq_length": LONGEST,
        "mask_prompt": True,
        "seed": SEED,
    }
    args = SimpleNamespace(**settings)
    text = (folder / "dataset" / "train.jsonl").read_text(encoding="utf-8")
    rows = create_dataset([json.loads(line) for line in text.splitlines()], tokenizer, args)
    took: list[float] = []

    class Clock(TrainingCallback):  # type: ignore[misc]
        def on_train_loss_report(self, told: dict[str, Any]) -> None:
            took.append(1 / told["iterations_per_second"])

    lora.train_model(args, model, rows, [], Clock())
    lengths = sorted(len(rows.process(row)[0]) for row in rows)
    warm = len(took) * WARM // PASSES
    # What training reads of a row is all but its last token, which is only ever a target.
    tokens = sum(length - 1 for length in lengths) * (PASSES - WARM)
    widest = [lengths[i + BATCH - 1] for i in range(0, len(lengths), BATCH)]
    read = sum(BATCH * 32 * -(-width // 32) for width in widest) * (PASSES - WARM)
    return {
        "tokens": tokens,
        "speed": tokens / sum(took[warm:]),
        "padding": 1 - tokens / read,
        "peak": _result.peak_memory(),
    }


SIDES: dict[str, Callable[[Path], dict[str, float]]] = {"ours": _ours, "theirs": _theirs}

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(main())

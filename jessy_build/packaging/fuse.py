"""base + what was trained → one model folder, in a process of its own that gives its memory back.

The adapter is merged into dequantised weights: merged into a quantised grid, a change smaller than
half a step of the grid would vanish (ml-explore/mlx-lm#1172). They are dequantised, not the ones
that the base came with: the adapter has learned beside their rounding, and makes up for it.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import unneeded
from jessy_build.diagnostics import StepError

PROBES = ("sana bisi sorucam", "hey there, how are you?", "Bilinç nedir?")
"""Texts on which the logits of base, base + adapter and the fused model are compared."""

LOST = 0.5
"""A fused model must be nearer to base + adapter than this share of the way from the base."""


@dataclass(frozen=True, slots=True)
class Fused:
    """Absolute differences of logits, over all positions of the probes."""

    max_error: float
    """Between base + adapter and what was written."""
    mean_error: float
    effect: float
    """Mean difference that the adapter makes: what would be lost with it."""


def fuse(base: Path, adapter: Path, out: Path) -> Fused:
    """StepError when the fused model is not base + adapter, or the adapter changes nothing."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "jessy_build.packaging.fuse", base, adapter, out],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise StepError(f"the model could not be fused: {last[0]}", hint="build again")
    measured = Fused(**json.loads(done.stdout.splitlines()[-1]))
    if measured.effect == 0:
        raise StepError(
            "what was trained changes nothing: the fused model would be the base",
            hint="train longer or with a higher learning rate",
        )
    # Asked this way round, since a comparison with NaN is false.
    if not measured.mean_error <= LOST * measured.effect:
        raise StepError(
            f"fusing lost what was trained: it changes the logits by {measured.effect:.2g},"
            f" and {measured.mean_error:.2g} of that is missing in the fused model",
            hint="train longer or with a higher learning rate",
        )
    return measured


def _environment() -> dict[str, str]:
    """So the child finds this very package from any folder, installed or not."""
    known = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, *([known] if known else [])])}


def _main(base: Path, adapter: Path, out: Path) -> None:
    from jessy_build import blas, mlx_model

    blas.install()
    import mlx.core as mx
    import mlx_lm.tuner.utils as tuner
    from mlx.utils import tree_flatten, tree_unflatten
    from mlx_lm.utils import dequantize_model, load_model

    model, config = load_model(base, lazy=True)
    mlx_model.hold_as_trained(model, adapter)
    if mx.default_device().type == mx.DeviceType.cpu:
        model.set_dtype(mx.float32)
    probes = _probes(base)
    plain = _logits(model, probes)
    tuner.load_adapters(model, str(adapter))
    # Its layers are new, and would leave out a share of what they are given, as while they learn.
    model.eval()
    adapted = _logits(model, probes)
    merged = [(n, m.fuse(dequantize=True)) for n, m in model.named_modules() if hasattr(m, "fuse")]
    model.update_modules(tree_unflatten(merged))
    model = dequantize_model(model)
    weights = {name: _stored(w) for name, w in sorted(tree_flatten(model.parameters()))}
    _write(base, out, weights, config)
    wide = [(name, weight.astype(mx.float32)) for name, weight in weights.items()]
    model.load_weights(wide)
    fused = _logits(model, probes)
    errors = [mx.abs(a - b) for a, b in zip(adapted, fused, strict=True)]
    effects = [mx.abs(a - b) for a, b in zip(adapted, plain, strict=True)]
    print(
        json.dumps(
            {
                "max_error": max(float(e.max()) for e in errors),
                "mean_error": _mean(errors),
                "effect": _mean(effects),
            }
        )
    )


def _stored(weight: Any) -> Any:
    """Matrices as F16, vectors (norms, biases) as F32: what the GGUF will hold anyway."""
    import mlx.core as mx

    return weight.astype(mx.float16 if weight.ndim > 1 else mx.float32)


def _probes(base: Path) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    return [tokenizer.encode(text).ids for text in PROBES]


def _logits(model: Any, probes: list[list[int]]) -> list[Any]:
    import mlx.core as mx

    found = [model(mx.array([ids])).astype(mx.float32) for ids in probes]
    mx.eval(found)
    return found


def _mean(differences: list[Any]) -> float:
    return sum(float(d.mean()) for d in differences) / len(differences)


def _write(base: Path, out: Path, weights: dict[str, Any], config: dict[str, Any]) -> None:
    import mlx.core as mx

    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / "model.safetensors"), weights, {"format": "mlx"})
    plain = {k: v for k, v in config.items() if k not in ("quantization", "quantization_config")}
    text = json.dumps({**plain, "torch_dtype": "float16"}, indent=2, sort_keys=True) + "\n"
    (out / "config.json").write_text(text, encoding="utf-8")
    for file in sorted(base.iterdir()):
        if file.is_file() and file.name != "config.json" and "safetensors" not in file.name:
            (out / file.name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    unneeded.leave_out()
    _main(*map(Path, sys.argv[1:4]))

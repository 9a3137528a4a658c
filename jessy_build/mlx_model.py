"""A model folder in this process, as MLX loads it: for answers, be they asked or compared.

Nothing of a folder's own runs: whoever names one from outside has it looked at by `bases.folder`.
"""

import gc
import json
from pathlib import Path
from typing import Any

from jessy_build import blas
from jessy_build.diagnostics import MissingPackage, StepError

INSTALL = "uv pip install 'jessy-build[mlx]'"


def load(model: Path, adapter: Path | None = None) -> Any:
    """`adapter` is a folder as the training step writes it."""
    try:
        found = blas.install()
        import mlx.core as mx
        from mlx_lm.tuner.utils import load_adapters
        from mlx_lm.utils import load_model
    except ImportError as problem:
        raise MissingPackage(
            problem.name or "mlx", needed_for="answering with MLX", install=INSTALL
        ) from None
    try:
        loaded, _ = load_model(model, lazy=True)
        if adapter is not None:
            loaded = load_adapters(loaded, str(adapter))
    except (FileNotFoundError, ValueError, KeyError, RuntimeError) as problem:
        raise StepError(
            f"MLX cannot load {model.name}: {problem}", hint="build it again with `jessy build`"
        ) from None
    if mx.default_device().type == mx.DeviceType.cpu:
        blas.use_one_thread(found)
        # Only fp32 is fast there.
        loaded.set_dtype(mx.float32)
    loaded.eval()
    mx.eval(loaded.parameters())
    return loaded


def tokenizer(model: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(model / "tokenizer.json"))


def ends(model: Path) -> frozenset[int]:
    """Every token that ends a turn, as the model folder lists them."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (model / name).is_file():
            ids = json.loads((model / name).read_text("utf-8")).get("eos_token_id")
            found |= set(ids if isinstance(ids, list) else [ids])
    found.discard(None)
    return frozenset(found)


def give_back() -> None:
    """The memory of what nothing holds any more."""
    import mlx.core as mx

    gc.collect()
    mx.clear_cache()

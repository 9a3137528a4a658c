"""A model folder in this process, as MLX loads it: for answers, be they asked or compared, and
as its training held it.

Nothing of a folder's own runs: whoever names one from outside has it looked at by `bases.folder`.
"""

import gc
import json
from pathlib import Path
from typing import Any

from jessy_build import blas
from jessy_build.diagnostics import MissingPackage, StepError

GROUP = 64
"""Packed weights that share a scale and an offset."""
INSTALL = "uv pip install 'jessy-build[mlx]'"


def missing(problem: ImportError, needed_for: str) -> StepError:
    """A package, or what its compiled part wants of the system."""
    if isinstance(problem, ModuleNotFoundError) or "cannot open shared object" not in str(problem):
        return MissingPackage(problem.name or "mlx", needed_for=needed_for, install=INSTALL)
    driver = "its CUDA back end wants NVIDIA's driver, which brings libcuda.so.1"
    return StepError(
        f"{needed_for} needs MLX, which does not start here: {problem}",
        hint=driver if "libcuda" in str(problem) else "install the library that it names",
    )


def load(model: Path, adapter: Path | None = None) -> Any:
    """`adapter` is a folder as the training step writes it."""
    try:
        found = blas.install()
        import mlx.core as mx
        from mlx_lm.tuner.utils import load_adapters
        from mlx_lm.utils import load_model
    except ImportError as problem:
        raise missing(problem, "answering with MLX") from None
    try:
        loaded, _ = load_model(model, lazy=True)
        if adapter is not None:
            hold_as_trained(loaded, adapter)
            loaded = load_adapters(loaded, str(adapter))
    except (FileNotFoundError, ValueError, KeyError, RuntimeError) as problem:
        raise StepError(
            f"MLX cannot load {model.name}: {problem}", hint="build it again with `jessy build`"
        ) from None
    if mx.default_device().type == mx.DeviceType.cpu:
        blas.use_one_thread(found)
        # Only fp32 is fast there.
        loaded.set_dtype(mx.float32)
    heed_masks_of_batches(loaded)
    loaded.eval()
    mx.eval(loaded.parameters())
    return loaded


def heed_masks_of_batches(model: Any) -> None:
    """Gemma 2 of mlx-lm (0.32.2) sorts its heads into groups, an axis that the mask of a batch
    knows nothing of: it is refused, or, of as many prompts as there are groups, read wrong."""
    if getattr(model, "model_type", "") != "gemma2":
        return
    from mlx_lm.models import gemma2

    class Attention(gemma2.Attention):  # type: ignore[misc]
        def __call__(self, x: Any, mask: Any = None, cache: Any = None) -> Any:
            if mask is not None and mask.ndim == 4 and self.repeats > 1:
                mask = mask[:, :, None]
            return super().__call__(x, mask, cache)

    for module in model.modules():
        if type(module) is gemma2.Attention:
            module.__class__ = Attention


def hold_as_trained(model: Any, adapter: Path) -> None:
    """An adapter that learned beside packed weights makes up for their rounding, too: it belongs to
    them, and not to the weights that they were packed from."""
    said = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    if bits := said.get("base_bits"):
        pack(model, bits)


def pack(model: Any, bits: int) -> None:
    """Hold the projections of all layers in so many bits a weight."""
    import mlx.nn as nn

    for layer in model.layers:
        for name, module in layer.named_modules():
            if isinstance(module, nn.QuantizedLinear):
                raise StepError(
                    "train.base_bits packs the weights of a base that is quantised already",
                    hint="leave base_bits out: what learns beside quantised weights is QLoRA",
                )
            if isinstance(module, nn.Linear) and module.weight.shape[1] % GROUP:
                raise StepError(
                    f"train.base_bits packs {GROUP} weights at a time, and {name} has rows of "
                    f"{module.weight.shape[1]}",
                    hint="leave base_bits out, or take another base",
                )
        nn.quantize(layer, GROUP, bits, class_predicate=lambda _, m: isinstance(m, nn.Linear))


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

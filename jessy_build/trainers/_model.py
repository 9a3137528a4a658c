"""A base with an adapter that can learn, in the number format that is fast on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import blas
from jessy_build.diagnostics import StepError
from jessy_build.trainers.lora import Lora


@dataclass(frozen=True, slots=True)
class Machine:
    device: str
    dtype: str
    blas: str

    @property
    def cpu(self) -> bool:
        return self.device == "cpu"


def load(base: Path) -> tuple[Any, Machine]:
    """The base alone, every weight in one format."""
    below = blas.install()
    import mlx.core as mx
    from mlx_lm.utils import load_model

    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    if on_cpu:
        # Compiling gains nothing on a CPU, and forbids numpy to look at the values.
        mx.disable_compile()
    try:
        model, _ = load_model(base, lazy=True)
    except (ValueError, FileNotFoundError, KeyError) as problem:
        raise StepError(
            f"mlx-lm cannot load the base model: {problem}",
            hint="choose a base of an architecture that mlx-lm knows",
        ) from None
    dtype = mx.float32 if on_cpu else _matrix_format(model)
    model.set_dtype(dtype)
    mx.eval(model.parameters())
    device = "cpu" if on_cpu else str(mx.device_info().get("device_name", "gpu"))
    return model, Machine(device, str(dtype).rpartition(".")[2], below.name)


def _matrix_format(model: Any) -> Any:
    """What its matrices are kept in: one format, or every product would convert its weights."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    for _, weight in tree_flatten(model.parameters()):
        if weight.ndim == 2 and weight.dtype in (mx.float16, mx.bfloat16, mx.float32):
            return weight.dtype
    return mx.float16


def adapt(model: Any, lora: Lora, seed: int) -> dict[str, Any]:
    """Put a fresh adapter on; returns what mlx-lm's `adapter_config.json` says about it."""
    import mlx.core as mx
    from mlx_lm.tuner.utils import linear_to_lora_layers

    here = len(model.layers)
    wanted = here if lora.layers == "all" else lora.layers
    if wanted > here:
        raise StepError(
            f"train.lora.layers asks for {wanted} layers; the base has {here}",
            hint="lower it, or write layers: all",
        )
    keys = _keys(model.layers[-wanted:], lora.targets)
    parameters = {
        "rank": lora.rank,
        "scale": lora.scale,
        "dropout": lora.dropout,
        "keys": keys,
    }
    model.freeze()
    mx.random.seed(seed)
    linear_to_lora_layers(model, wanted, parameters)
    mx.eval(model.parameters())
    return {"fine_tune_type": "lora", "num_layers": wanted, "lora_parameters": parameters}


def _keys(layers: list[Any], targets: str | tuple[str, ...]) -> list[str]:
    import mlx.nn as nn

    known = {
        name
        for layer in layers
        for name, module in layer.named_modules()
        if isinstance(module, (nn.Linear, nn.QuantizedLinear))
    }
    if targets == "all-linear":
        return sorted(known)
    last = {name.rpartition(".")[2] for name in known}
    if strange := [target for target in targets if target not in last]:
        raise StepError(
            f"train.lora.targets names {', '.join(strange)}, which no layer of the base has",
            hint=f"there are: {', '.join(sorted(last))}",
        )
    return sorted(name for name in known if name.rpartition(".")[2] in targets)

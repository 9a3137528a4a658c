"""A base with what can learn of it or beside it, in the form that is fast on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jessy_build import blas, mlx_model
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _activations, _attention, _linears, _loss, _members, _norms, _team
from jessy_build.trainers.config import HALVES, Config


@dataclass(frozen=True, slots=True)
class Learner:
    model: Any
    adapter_config: dict[str, Any]
    """What mlx-lm's `adapter_config.json` says about the adapter."""
    training: Callable[..., Any]
    """Loss for mlx-lm's loop: model, parts of a batch, number of supervised tokens."""
    asking: Callable[..., Any]
    """The same number without a gradient."""
    parts: int
    """Into so many parts a batch is cut, if it has as many rows."""
    multiple: int
    """Sizes of arrays are multiples of this: worth it where graphs are compiled by shape."""
    device: str
    dtype: str
    blas: str
    close: Callable[[], None]
    """Ends its threads. A process that leaves by `os._exit` can do without."""


def learner(base: Path, config: Config, teams: int = 1) -> Learner:
    """`teams` is how many processes train on this machine and share its cores."""
    below = blas.install()
    import mlx.core as mx

    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    if on_cpu:
        # Compiling gains nothing on a CPU, and forbids numpy to look at the values.
        mx.disable_compile()
    model = _loaded(base)
    if config.base_bits:
        # Before its numbers are made wide: what they are packed from is what the file holds, here
        # and where base and adapter become one.
        mlx_model.pack(model, config.base_bits)
    # What learns needs its last digits: an update is a thousandth of a weight, or less.
    wide = on_cpu or config.method == "full"
    dtype = mx.float32 if wide else _matrix_format(model)
    model.set_dtype(dtype)
    mx.eval(model.parameters())
    if on_cpu:
        _activations.quicken(model)
    adapter_config = _learning(model, config)
    if on_cpu:
        _norms.quicken(model)
    head = _loss.cut(model)
    named = str(dtype).rpartition(".")[2]
    if not on_cpu:
        loss = partial(_loss.alone, head)
        device = str(mx.device_info().get("device_name", "gpu"))
        return Learner(
            model, adapter_config, loss, loss, 1, 32, device, named, below.name, lambda: None
        )
    _linears.quicken(model)
    _attention.quicken(model)
    team = _team.Team(model, head, _members.size(teams))
    return Learner(
        model,
        adapter_config,
        training=team.training,
        asking=team.asking,
        parts=team.size,
        multiple=1,
        device="cpu",
        dtype=named,
        blas=below.name,
        close=team.close,
    )


def _loaded(base: Path) -> Any:
    from mlx_lm.utils import load_model

    try:
        model, _ = load_model(base, lazy=True)
    except (ValueError, FileNotFoundError, KeyError) as problem:
        raise StepError(
            f"mlx-lm cannot load the base model: {problem}",
            hint="choose a base of an architecture that mlx-lm knows",
        ) from None
    return model


def _matrix_format(model: Any) -> Any:
    """What its matrices are kept in: one format, or every product would convert its weights."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    weights: Any = tree_flatten(model.parameters())
    for _, weight in weights:
        if weight.ndim == 2 and weight.dtype in (mx.float16, mx.bfloat16, mx.float32):
            return weight.dtype
    return mx.float16


def _learning(model: Any, config: Config) -> dict[str, Any]:
    """The base freezes, but for what learns of it or is put beside it."""
    here = len(model.layers)
    wanted = here if config.lora.layers == "all" else config.lora.layers
    if wanted > here:
        raise StepError(
            f"train.lora.layers asks for {wanted} layers; the base has {here}",
            hint="lower it, or write layers: all",
        )
    model.freeze()
    learn = _thaw if config.method == "full" else _adapt
    return {"fine_tune_type": config.method, "num_layers": wanted, **learn(model, config, wanted)}


def _thaw(model: Any, config: Config, wanted: int) -> dict[str, Any]:
    import mlx.nn as nn

    for layer in model.layers[-wanted:]:
        if any(isinstance(module, nn.QuantizedLinear) for module in layer.modules()):
            raise StepError(
                "train.method: full changes the weights of the base, and these are quantised",
                hint="take a base of whole weights, or method: lora",
            )
        layer.unfreeze()
    return {}


def _adapt(model: Any, config: Config, wanted: int) -> dict[str, Any]:
    import mlx.core as mx
    from mlx_lm.tuner.utils import linear_to_lora_layers

    lora = config.lora
    parameters = {
        "rank": lora.rank,
        "scale": lora.scale,
        "dropout": lora.dropout,
        "keys": _keys(model.layers[-wanted:], lora.targets),
    }
    mx.random.seed(config.seed)
    linear_to_lora_layers(model, wanted, parameters, use_dora=config.method == "dora")
    mx.eval(model.parameters())
    packed = {"base_bits": config.base_bits} if config.base_bits else {}
    return {"lora_parameters": parameters, **packed}


def compute_twice(model: Any) -> None:
    """mlx-lm changes the class of the layers, which all members of a team share."""
    from mlx_lm.tuner.trainer import grad_checkpoint

    grad_checkpoint(model.layers[0])


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
    if isinstance(targets, str):
        half = HALVES[targets]
        if found := sorted(name for name in known if half in name.split(".")):
            return found
        raise StepError(
            f"the layers of the base have no {half}, which train.lora.targets: {targets} means",
            hint=f"name projections: {', '.join(sorted({n.rpartition('.')[2] for n in known}))}",
        )
    last = {name.rpartition(".")[2] for name in known}
    if strange := [target for target in targets if target not in last]:
        raise StepError(
            f"train.lora.targets names {', '.join(strange)}, which no layer of the base has",
            hint=f"there are: {', '.join(sorted(last))}",
        )
    return sorted(name for name in known if name.rpartition(".")[2] in targets)

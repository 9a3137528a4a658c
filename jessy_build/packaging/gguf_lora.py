"""Write what mlx-lm has trained as a GGUF LoRA, which llama.cpp and Ollama put on top of a base.

The matrices stay float32: nothing is rounded, and nothing is merged. llama.cpp multiplies by
alpha / rank where mlx-lm multiplies by `scale`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import architectures, gguf_write, mlx_weights, rope, safetensors_file
from jessy_build.packaging.architectures import Architecture
from jessy_build.packaging.gguf_write import Planned
from jessy_build.packaging.mlx_weights import Tensor
from jessy_build.packaging.safetensors_file import Stored

LONGER = "train longer or with a higher learning rate"
HALVES = ("lora_a", "lora_b")


@dataclass(frozen=True, slots=True)
class Pair:
    """The two matrices beside one weight: x @ a @ b."""

    a: Stored
    b: Stored

    @property
    def rank(self) -> int:
        return self.a.shape[-1]


def write(base: Path, adapter: Path, out: Path, *, name: str) -> None:
    """`base` is the model folder that `adapter` was trained on: it says how rows are ordered."""
    try:
        config = gguf_write.read_json(base / "config.json")
        settings = gguf_write.read_json(adapter / "adapter_config.json")
        architecture = architectures.of_config(config)
        pairs = _pairs(safetensors_file.table(adapter / "adapters.safetensors"))
        alpha = _alpha(settings, pairs)
        tensors = list(_planned(pairs, mlx_weights.open_model(base), architecture, config))
    except (KeyError, TypeError, AttributeError) as error:
        raise StepError(f"{adapter} is no complete adapter: {error!r}") from error
    _must_change_something(pairs)
    writer = gguf_write.new(architecture.gguf)
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    gguf_write.put(out, writer, sorted(tensors, key=gguf_write.file_order))


def _pairs(tensors: Mapping[str, Stored]) -> dict[str, Pair]:
    """By the module that they lie beside."""
    modules = sorted({name.rpartition(".")[0] for name in tensors})
    for name in tensors:
        if name.rpartition(".")[2] not in HALVES:
            raise StepError(
                f"the adapter holds '{name}', and a GGUF adapter holds LoRA matrices alone",
                hint="write export.kind: fused",
            )
    for module in modules:
        for half in HALVES:
            if f"{module}.{half}" not in tensors:
                raise StepError(f"the adapter lacks '{module}.{half}'", hint="train it again")
    if not modules:
        raise StepError("the adapter holds no matrices", hint="train it again")
    return {m: Pair(tensors[f"{m}.lora_a"], tensors[f"{m}.lora_b"]) for m in modules}


def _alpha(settings: Mapping[str, Any], pairs: Mapping[str, Pair]) -> float:
    """One number for the whole file, so one rank, too."""
    if settings.get("fine_tune_type", "lora") != "lora":
        raise StepError(
            f"an adapter of type '{settings['fine_tune_type']}' cannot be written as GGUF",
            hint="write export.kind: fused",
        )
    ranks = sorted({pair.rank for pair in pairs.values()})
    if len(ranks) > 1:
        raise StepError(
            f"the adapter has ranks {', '.join(map(str, ranks))}, and a GGUF adapter has one",
            hint="write export.kind: fused",
        )
    scale = float(settings["lora_parameters"]["scale"])
    if not scale:
        # llama.cpp reads an alpha of 0 as none, and would put the adapter on in full.
        raise StepError("the adapter has scale 0, so it changes nothing", hint=LONGER)
    return scale * ranks[0]


def _planned(
    pairs: Mapping[str, Pair],
    base: Mapping[str, Tensor],
    architecture: Architecture,
    config: Mapping[str, Any],
) -> Iterator[Planned]:
    for module, pair in pairs.items():
        weight = f"{module}.weight"
        _must_lie_beside(weight, pair, base)
        rows = pair.b.shape[-1]
        heads = architecture.heads_to_permute(weight, config)
        order = rope.permutation(rows, heads, to_gguf=True) if heads else None
        name = architecture.gguf_name(weight)
        yield Planned(
            f"{name}.lora_a", (pair.rank, pair.a.shape[0]), "f32", None, made=_turned(pair.a)
        )
        yield Planned(f"{name}.lora_b", (rows, pair.rank), "f32", None, made=_turned(pair.b, order))


def _must_lie_beside(weight: str, pair: Pair, base: Mapping[str, Tensor]) -> None:
    """llama.cpp knows adapters of projections: an embedding counts its rows another way, and one
    that is the output layer as well would be changed in one of its two places."""
    if not weight.startswith("model.layers."):
        raise StepError(
            f"the adapter changes '{weight}', and a GGUF adapter changes projections of layers",
            hint="write export.kind: fused, or name projections in train.lora.targets",
        )
    if weight not in base:
        raise StepError(
            f"the adapter changes '{weight}', which the base does not have",
            hint="it was trained on another base: train it again",
        )
    inner, outer = pair.a.shape[0], pair.b.shape[-1]
    rows, columns = base[weight].shape
    if (outer, inner) != (rows, columns) or pair.b.shape[0] != pair.rank:
        raise StepError(
            f"the adapter of '{weight}' is for {outer} x {inner} weights, and the base has "
            f"{rows} x {columns}",
            hint="it was trained on another base: train it again",
        )


def _turned(stored: Stored, order: Any | None = None) -> Callable[[], Any]:
    """llama.cpp counts rows of what comes out first, mlx-lm what goes in."""

    def made() -> Any:
        import numpy as np

        turned = stored.whole().astype(np.float32).T
        return turned if order is None else turned[order]

    return made


def _must_change_something(pairs: Mapping[str, Pair]) -> None:
    if not any(pair.b.whole().any() for pair in pairs.values()):
        raise StepError(
            "the adapter changes nothing: the model served would be its base",
            hint=LONGER,
        )

"""What of a model folder is taken, and what is refused: nothing of it may run code when read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetched

RESULT = "model"

_TAKEN = (
    *("model*.safetensors", "*.json", "*.jinja"),
    *("tokenizer.model", "merges.txt", "vocab.txt", "*.tiktoken"),
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HEADER_LIMIT = 100 << 20


def choose(names: Iterable[str], *, where: str) -> tuple[str, ...]:
    """The files to take of those that lie directly in the folder. StepError if one is lacking."""
    here = sorted(name for name in names if "/" not in name)
    if not _like(here, "model*.safetensors"):
        raise _no_weights(here, where)
    for needed in ("config.json", "tokenizer.json"):
        if needed not in here:
            raise StepError(
                f"{where} holds no {needed}", hint="a model folder in the Hugging Face way has one"
            )
    return _like(here, *_TAKEN)


def verify(folder: Path, *, where: str) -> None:
    """Before use: whole weight files, and no wish to run code of the folder's own."""
    config = _json(folder / "config.json", where)
    tokenizer = folder / "tokenizer_config.json"
    # mlx-lm would import `model_file`, transformers what a tokenizer's `auto_map` names.
    if "model_file" in config or (tokenizer.exists() and "auto_map" in _json(tokenizer, where)):
        raise StepError(
            f"{where} needs Python code of its own to be loaded, which is never run here",
            hint="choose a model that mlx-lm knows by its model_type",
        )
    for weights in folder.glob("*.safetensors"):
        _whole(weights, where)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = set(_json(index, where).get("weight_map", {}).values())
        if missing := sorted(name for name in shards if not (folder / name).is_file()):
            raise StepError(f"{where} lacks {', '.join(missing)}, which its index names")


def keep(proved: Path, out: Path) -> Fetched:
    """Give the folder its name, as the last step: what bears it is whole."""
    target = out / RESULT
    shutil.rmtree(target, ignore_errors=True)
    from jessy_build.bases.order import Fetched

    return Fetched("folder", Path(shutil.move(proved, target)))


def _like(names: Iterable[str], *patterns: str) -> tuple[str, ...]:
    return tuple(name for name in names if any(fnmatchcase(name, p) for p in patterns))


def _no_weights(here: list[str], where: str) -> StepError:
    if pickles := _like(here, *_PICKLES):
        return StepError(
            f"the weights of {where} are pickle files ({', '.join(pickles[:3])}), "
            "which can run code when they are read",
            hint="choose a model with .safetensors files, or convert it elsewhere first",
        )
    if ggufs := _like(here, "*.gguf"):
        return StepError(
            f"{where} holds GGUF files ({', '.join(ggufs[:3])}) and no model*.safetensors",
            hint="a single GGUF file is named as gguf:./file.gguf",
        )
    return StepError(f"{where} holds no model*.safetensors", hint="is it a model folder?")


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepError(f"{path.name} of {where} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise StepError(f"{path.name} of {where} is no JSON object")
    return value


def _whole(path: Path, where: str) -> None:
    """The header says where each tensor ends: a file cut short is shorter than that."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= _HEADER_LIMIT else b""
    try:
        tensors = json.loads(header)
        ends = [t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise StepError(f"{path.name} of {where} is no safetensors file") from None
    if path.stat().st_size != 8 + size + max(ends, default=0):
        raise StepError(f"{path.name} of {where} is not whole", hint="fetch or copy it again")

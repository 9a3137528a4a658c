"""A model folder of few bits, as `mlx_lm.convert -q` writes it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def quantised(
    base: Path,
    out: Path,
    *,
    group_size: int,
    bits: int,
    mode: str = "affine",
    own: Mapping[str, Any] | None = None,
) -> Path:
    """`own`: name of a matrix → its own settings."""
    from mlx_lm.utils import load_model, quantize_model, save_model

    model, config = load_model(base)

    def settings(path: str, module: Any) -> Any:
        return (own or {}).get(path, hasattr(module, "to_quantized"))

    model, config = quantize_model(
        model, config, group_size, bits, mode=mode, quant_predicate=settings
    )
    shutil.copytree(base, out)
    save_model(out, model)
    (out / "config.json").write_text(json.dumps(config))
    return out

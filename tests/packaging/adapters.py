"""Random adapters in mlx-lm's form: what they teach does not matter, that they act does."""

import json
from pathlib import Path
from typing import Any


def write_adapter(
    folder: Path, base: Path, strength: float, keys: list[str] | None = None, **settings: Any
) -> Path:
    """Of rank 4 and scale 2, on all projections unless `keys` name some."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model

    model, config = load_model(base)
    layers = config["num_hidden_layers"]
    inner = model.layers[0].named_modules()
    keys = keys or sorted(name for name, module in inner if isinstance(module, nn.Linear))
    parameters = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": keys, **settings}
    model.freeze()
    linear_to_lora_layers(model, layers, parameters)
    named: Any = tree_flatten(model.trainable_parameters())
    weights = {
        name: mx.random.normal(value.shape, key=mx.random.key(i)) * strength
        for i, (name, value) in enumerate(named)
    }
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    about = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    return folder

"""Whether an adapter can be served beside its base: told by the base and the way it is trained,
before a training."""

from collections.abc import Mapping
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import architectures


def lost(method: str, base_bits: int | None) -> str | None:
    """What of a training no GGUF adapter can hold."""
    if method == "full":
        return "method: full changes the weights of the base, and leaves no adapter"
    if method == "dora":
        return "a GGUF adapter holds LoRA matrices, and DoRA learns the lengths of rows as well"
    if base_bits is not None:
        return f"the adapter belongs to the base rounded to {base_bits} bits, which no GGUF holds"
    return None


def refusal(config: Mapping[str, Any], *, ollama: bool) -> str | None:
    """Why it cannot. `config` is the base's config.json, `ollama` whether it is deployed there."""
    try:
        architecture = architectures.of_config(config)
    except StepError as error:
        return error.problem
    if ollama and not architecture.adapters_in_ollama:
        return (
            f"Ollama runs {architecture.gguf} on an engine of its own, which has no LoRA, so it "
            "could not load the model"
        )
    return None

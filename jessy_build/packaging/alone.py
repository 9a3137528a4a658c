"""Whether an adapter can be served beside its base: told by the base alone, before a training."""

from collections.abc import Mapping
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.packaging import architectures


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

"""Rules about what is served: the adapter alone, and what a server is told of the model."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, StepError, code
from jessy_build.packaging import versions
from jessy_build.recipe import scalars
from jessy_build.recipe.placed import placed

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

NOT_ALONE = code("R260", "an adapter cannot be served beside its base")
NO_VERSION = code("R261", "a required version of Ollama is not written as one")
NOT_CARRIED = code("R262", "a licence cannot stand in a Modelfile")

NUMBERED = re.compile(r"\d+(?:\.\d+){0,2}")


def the_adapter_can_be_put_on(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Of bases in a local place, and of known ones; of others `convert` says it, once they are
    fetched."""
    if loaded.recipe.export.kind != "adapter":
        return
    from jessy_build.packaging import alone

    train = loaded.recipe.train
    if reason := alone.lost(train.method, train.base_bits):
        told = f"what is trained here cannot be served alone: {reason}"
        hint = "write kind: fused, or train with method: lora and without base_bits"
        yield _not_alone(loaded, told, hint=hint)
        return
    config = _base_config(loaded)
    if config is not None and (problem := not_alone(loaded, config)) is not None:
        yield problem


def not_alone(loaded: "LoadedRecipe", config: Mapping[str, Any]) -> Diagnostic | None:
    """`config` is the config.json of the base."""
    from jessy_build.packaging import alone

    reason = alone.refusal(config, ollama=loaded.recipe.deploy is not None)
    if reason is None:
        return None
    return _not_alone(
        loaded,
        f"the adapter of this base cannot be served alone: {reason}",
        hint="write kind: fused; the adapter lies beside the model, in the folder adapter/",
    )


def _not_alone(loaded: "LoadedRecipe", problem: str, hint: str) -> Diagnostic:
    return placed(
        loaded,
        ("export", "kind"),
        NOT_ALONE,
        problem,
        expected="kind: fused",
        hint=hint,
    )


def quantised(loaded: "LoadedRecipe") -> bool:
    """Whether the base is known to be of quantised MLX weights."""
    return bool((_base_config(loaded) or {}).get("quantization"))


def _base_config(loaded: "LoadedRecipe") -> Mapping[str, Any] | None:
    """None where nothing here tells it. A folder or file that is no model is told elsewhere."""
    from jessy_build.bases import known
    from jessy_build.packaging import architectures, gguf_file

    found = loaded.opened.base_path
    if found is None:
        listed = known.named(loaded.recipe.base.model)
        return listed.config if listed else None
    if found.path.is_file():
        try:
            architecture = architectures.of_gguf(gguf_file.architecture(found.path))
        except StepError:
            return None
        return {"model_type": architecture.model_types[0]}
    try:
        said = json.loads((found.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def the_required_version_is_one(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    said = loaded.recipe.modelfile.requires
    if said is None or (versions.parsed(said) and not said.startswith("v") and "." in said):
        return
    number = NUMBERED.search(said)
    yield placed(
        loaded,
        ("modelfile", "requires"),
        NO_VERSION,
        f"{scalars.told(said)} is no version of Ollama",
        expected="the number of the lowest one that will do, such as 0.14.0",
        hint=f"write {_in_three(number[0])}" if number else "`ollama --version` says yours",
    )


def _in_three(number: str) -> str:
    parts = [str(int(part)) for part in number.split(".")]
    return ".".join((*parts, "0", "0")[:3])


def licences_can_be_carried(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Said here, since the Modelfile is written when all is trained."""
    said, text = loaded.recipe.modelfile, loaded.opened.license_text
    if not said.licenses and not text:
        return
    from jessy_build.packaging import modelfile

    for field, texts in (("license", said.licenses), ("license_file", (text,) if text else ())):
        try:
            modelfile.render(modelfile.Modelfile("base", license=texts))
        except ValueError as error:
            yield placed(
                loaded,
                ("modelfile", field),
                NOT_CARRIED,
                f"the licence cannot stand in a Modelfile: {str(error).removeprefix('LICENSE: ')}",
                hint="write a plain space, or take it out" if "print" in str(error) else "",
            )

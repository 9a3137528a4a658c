"""What an Ollama server tells of a model, beside what the other side would have it be."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jessy_build import digest
from jessy_build.plan.changes import differences
from jessy_build.plan.diff import Field
from jessy_build.plan.text import changed_lines, is_text
from jessy_build.steps.sides import Side

if TYPE_CHECKING:
    from jessy_build.packaging.modelfile import Modelfile
    from jessy_build.packaging.ollama import Served

GROUP = "served"
Told = dict[str, Any]


def compare(left: Side, right: Side) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """Fields, differing or not, and what could not be compared. Nothing without an Ollama side."""
    if left.served is None and right.served is None:
        return (), ()
    old, new = _told(left), _told(right)
    both = [name for name in {**old, **new} if name in old and name in new]
    fields = tuple(_fields({n: old[n] for n in both}, {n: new[n] for n in both}, right))
    return fields, tuple(_missing(left, right, set(old) ^ set(new)))


def _fields(old: Told, new: Told, right: Side) -> Iterator[Field]:
    changed = {change.field for change in differences(old, new)}
    for name in old:
        pairs = [(name, old[name], new[name])]
        if isinstance(old[name], Mapping) and isinstance(new[name], Mapping):
            inner = sorted({**old[name], **new[name]})
            pairs = [(f"{name}.{key}", old[name].get(key), new[name].get(key)) for key in inner]
        for field, was, now in pairs:
            differs = field in changed
            lines = (
                tuple(changed_lines(was or "", now or "")) if differs and _texts(was, now) else ()
            )
            yield Field(GROUP, field, was, now, _where(right, field), lines)


def _texts(old: Any, new: Any) -> bool:
    return all(value is None or isinstance(value, str) for value in (old, new)) and (
        is_text(old) or is_text(new)
    )


def _where(side: Side, field: str) -> str:
    return side.where(f"modelfile.{field}") if field.startswith("parameters.") else ""


def _missing(left: Side, right: Side, names: set[str]) -> Iterator[str]:
    lacking = right if left.served is not None else left
    if names:
        yield f"not known of {lacking.name}, so not compared: {', '.join(sorted(names))}"


def _told(side: Side) -> Told:
    return _of_server(side.served) if side.served is not None else _of_recipe(side)


def _of_server(served: "Served") -> Told:
    told: Told = {
        **_parameters(served.parameters),
        "system": served.system,
        "template": served.template,
        "messages": [list(turn) for turn in served.messages],
        "quantization": served.quantization.upper(),
    }
    if served.weights:
        told["weights"] = served.weights
    return told


def _of_recipe(side: Side) -> Told:
    """From the Modelfile that was written for it; else the part that its recipe says."""
    told: Told = {}
    config = side.config or {}
    ollama = (config.get("deploy") or {}).get("ollama") or {}
    file = side.blocks["gguf"].figures if "gguf" in side.blocks else {}
    kind = ollama.get("quantize") or file.get("kind") or (config.get("export") or {}).get("gguf")
    if kind:
        told["quantization"] = str(kind).upper()
    if file.get("file") and not ollama.get("quantize"):
        told["weights"] = file["file"]["sha256"]
    written = _modelfile(side)
    if written is not None:
        told |= _parameters(written.parameters)
        told["system"] = written.system or ""
        told["template"] = written.template or ""
        told["messages"] = [[turn.role, turn.content] for turn in written.messages]
    elif side.workspace is not None:
        recipe = side.workspace.loaded.recipe
        # The chat template adds stops of its own, which only a finished build knows.
        told["parameters"] = _parameters(recipe.modelfile.parameters.given())["parameters"]
        told["system"] = side.workspace.loaded.system or ""
        told["messages"] = [[turn.role, turn.content] for turn in recipe.modelfile.messages]
    return told


def _modelfile(side: Side) -> "Modelfile | None":
    from jessy_build.packaging import modelfile

    made = side.artifacts.get("deploy")
    if made is None:
        return None
    sha256, _ = made.tree.get("Modelfile", ("", 0))
    try:
        data = side.store.object(sha256).read_bytes()
        return modelfile.parse(data.decode()) if digest.of_bytes(data) == sha256 else None
    except (OSError, ValueError):
        return None


def _parameters(given: Mapping[str, Any]) -> Told:
    """Numbers as numbers, whichever way they were written; the order of stops says nothing."""
    numbers = {name: _number(value) for name, value in given.items() if name != "stop"}
    return {"parameters": numbers, "stop": sorted(given.get("stop", ()))}


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

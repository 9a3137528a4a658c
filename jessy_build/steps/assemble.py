"""assemble: rows → train.jsonl and valid.jsonl, byte-identical for the same rows and seed."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import digest, enhancers
from jessy_build.diagnostics import StepError
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.enhancers import Enhanced
from jessy_build.example import Example, read_jsonl
from jessy_build.plan.step import Step
from jessy_build.recipe.model import NO_MARKER
from jessy_build.steps import items

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.marker import Marker

name = "assemble"
version = 1
holds = always


def expand(loaded: "LoadedRecipe") -> list[Step]:
    dataset = loaded.recipe.dataset
    params: dict[str, Any] = {
        "seed": dataset.seed,
        "valid": dataset.split.valid,
        "system": loaded.system,
    }
    span = loaded.span_of("dataset")
    levels = loaded.recipe.complexity.items()
    about: dict[str, Any] = {
        "dataset.seed": dataset.seed,
        "dataset.split": dataset.split.model_dump(),
        "dataset.marker": dataset.marker,
        "dataset.enhance": [block.model_dump(mode="json") for block in dataset.enhance],
        "complexity": {name: {"iterations": list(spec.iterations)} for name, spec in levels},
        **items.about_system(loaded),
    }
    if dataset.marker != NO_MARKER:
        params["marker"] = {"text": dataset.marker, "iterations": _iterations(loaded)}
    if dataset.enhance:
        params["enhance"] = {"by": about["dataset.enhance"], "words": _most_words(loaded)}
        about["dataset.validate.words"] = dataset.validate_.words
        for level, spec in levels:
            about["complexity"][level]["words"] = list(spec.words)
    return [Step(name, name, version, params, {"rows": "validate"}, span=span, about=about)]


def run(job: Job) -> Facts:
    params = job.step.params
    rows = list(_enhanced(params, read_jsonl(job.inputs["rows"] / "examples.jsonl")))
    examples = [row.example for row in rows]
    held_out = valid_ids(examples, params["seed"], params["valid"])
    train = [row for row in rows if row.example.id not in held_out]
    valid = [row for row in rows if row.example.id in held_out]
    mark = _marker(params.get("marker"))
    _write(job.out / "train.jsonl", train, params["system"], mark)
    _write(job.out / "valid.jsonl", valid, params["system"], mark)
    return {
        "train": len(train),
        "valid": len(valid),
        "composition": [
            {"category": c, "complexity": level, "language": language, "rows": rows}
            for (c, level, language), rows in sorted(_cells(examples).items())
        ],
        **_enhancement(rows),
    }


def valid_ids(examples: Sequence[Example], seed: int, share: float) -> set[str]:
    """Each row is held out by its own id, so that adding rows moves no other one.

    The share is therefore met on average, not to the row; one row at least is held out wherever
    the recipe asks for any and two rows exist.
    """
    drawn = {example.id: _draw(seed, example.id) for example in examples}
    chosen = {id for id, value in drawn.items() if value < share}
    if not chosen and share > 0 and len(drawn) > 1:
        chosen = {min(drawn, key=lambda id: drawn[id])}
    return chosen


def _draw(seed: int, id: str) -> float:
    return int(digest.of_value([seed, id])[:13], 16) / 16**13


def _iterations(loaded: "LoadedRecipe") -> dict[str, list[int]]:
    """Only where the marker reads them: else other bounds would make the same rows anew."""
    from jessy_build.recipe import marker

    if "iterations" not in marker.parse(loaded.recipe.dataset.marker).names:
        return {}
    return {level: list(spec.iterations) for level, spec in loaded.recipe.complexity.items()}


def _marker(params: Mapping[str, Any] | None) -> "Marker | None":
    if params is None:
        return None
    from jessy_build.recipe import marker

    return marker.writer(marker.parse(params["text"]), params["iterations"])


def _most_words(loaded: "LoadedRecipe") -> dict[str, int]:
    """Of the levels, where their words are a rule at all."""
    if not loaded.recipe.dataset.validate_.words:
        return {}
    return {level: spec.words.max for level, spec in loaded.recipe.complexity.items()}


def rendered(params: Mapping[str, Any], examples: Iterable[Example]) -> Iterator[dict[str, Any]]:
    """What such rows are in a data set made with these parameters of the step, split apart."""
    mark = _marker(params.get("marker"))
    for row in _enhanced(params, examples):
        yield _row(row, params["system"], mark)


def _enhanced(params: Mapping[str, Any], examples: Iterable[Example]) -> Iterator[Enhanced]:
    wanted = params.get("enhance")
    if wanted is None:
        yield from (Enhanced(example) for example in examples)
        return
    by = enhancers.read(wanted["by"])
    for example in examples:
        yield enhancers.enhance(example, by, params["seed"], wanted["words"])


def _enhancement(rows: Sequence[Enhanced]) -> Facts:
    if not any(row.added or row.no_room for row in rows):
        return {}
    return {
        "enhanced": sum(bool(row.added) for row in rows),
        "no_room": sum(row.no_room for row in rows),
    }


def _write(path: Path, rows: Sequence[Enhanced], system: str | None, mark: "Marker | None") -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(_row(row, system, mark), ensure_ascii=False) + "\n")


def _row(row: Enhanced, system: str | None, mark: "Marker | None") -> dict[str, Any]:
    example = row.example
    before = _mark_of(example, mark) if mark else ""
    messages = [
        {"role": m.role, "content": before + m.content if m.role == "assistant" else m.content}
        for m in example.messages
    ]
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return {
        "id": example.id,
        "category": example.category,
        "language": example.language,
        "complexity": example.complexity,
        "messages": messages,
        **({"enhanced": [one._asdict() for one in row.added]} if row.added else {}),
    }


def _mark_of(example: Example, mark: "Marker") -> str:
    from jessy_build.recipe.templates import RenderError

    try:
        return mark(example.category, example.language, example.complexity, example.iterations)
    except RenderError as error:
        raise StepError(
            f"dataset.marker cannot be written for {example.origin.source}: {error.problem}",
            hint="say it in the row, or take it out of the marker",
        ) from None


def _cells(examples: Sequence[Example]) -> Counter[tuple[str, str, str]]:
    return Counter((e.category, e.complexity, e.language) for e in examples)


def summary(facts: Facts) -> str:
    enhanced = f", {facts['enhanced']} enhanced" if "enhanced" in facts else ""
    no_room = f", {facts['no_room']} additions had no room" if facts.get("no_room") else ""
    return f"{facts['train']} train, {facts['valid']} valid{enhanced}{no_room}"

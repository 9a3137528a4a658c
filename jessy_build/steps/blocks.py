"""What is worth knowing of a finished step: its block in the lock file, its part in a diff.

Nothing in a block may depend on when, where or how fast it was made. Times stay in the ledger.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from jessy_build.engine.ledger import Artifact
from jessy_build.steps import gguf, prices, select

Recipe = Mapping[str, Any]
"""As it was resolved, in the form that JSON knows."""
Figures = dict[str, Any]

TELLS_TIMES = frozenset(("report",))
"""Kinds whose files hold seconds, so that their content differs from one making to the next."""
DECIMALS = 6


@dataclass(frozen=True)
class Block:
    key: str
    output: str | None = None
    """The digest of what was made; None where it tells of times."""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def written(self) -> dict[str, Any]:
        output = {} if self.output is None else {"output": self.output}
        return {"key": self.key, **output, **self.figures}


def of(step: str, artifact: Artifact, output: str, recipe: Recipe) -> Block:
    """`output` is the digest of the artifact's files."""
    figures = FIGURES.get(artifact.kind, _nothing)(step, artifact, recipe)
    kept = None if artifact.kind in TELLS_TIMES else output
    return Block(artifact.key, kept, _without_none(figures))


def _nothing(step: str, made: Artifact, recipe: Recipe) -> Figures:
    return {}


def _fetch(step: str, made: Artifact, recipe: Recipe) -> Figures:
    base = recipe["base"]
    return {
        "source": [part.strip() for part in base["model"].split(" + ")],
        "revision": base.get("revision"),
        "sha256": base.get("sha256") or _largest(made),
        "bytes": sum(size for _, size in made.tree.values()),
    }


def _convert(step: str, made: Artifact, recipe: Recipe) -> Figures:
    return {"parameters": made.facts.get("parameters")}


def _generate(step: str, made: Artifact, recipe: Recipe) -> Figures:
    facts = made.facts
    category = recipe["categories"].get(step.partition(":")[2], {})
    teacher = category.get("teacher", facts.get("teacher"))
    config = recipe["teachers"].get(teacher, {})
    tokens = _tokens(facts)
    return {
        "teacher": teacher,
        "kind": config.get("kind"),
        "model": config.get("model"),
        "rows": facts.get("rows"),
        "tokens": tokens or None,
        "usd": _usd(facts, config) if tokens else None,
    }


def _validate(step: str, made: Artifact, recipe: Recipe) -> Figures:
    facts = made.facts
    judged = facts.get("judged") or {}
    tokens = _tokens(judged.get("tokens", {}))
    said = recipe["dataset"]["validate"].get("judge") or {}
    teacher = recipe["teachers"].get(said.get("teacher"), {})
    return {
        "rows": facts.get("rows"),
        "rejected": facts.get("rejected"),
        "by_rule": facts.get("by_rule") or None,
        "scores": judged.get("mean") or None,
        "tokens": tokens or None,
        "usd": _usd(judged["tokens"], teacher) if tokens else None,
    }


def _assemble(step: str, made: Artifact, recipe: Recipe) -> Figures:
    return {
        name: {"rows": made.facts.get(name), "sha256": made.tree[f"{name}.jsonl"][0]}
        for name in ("train", "valid")
    }


def _train(step: str, made: Artifact, recipe: Recipe) -> Figures:
    facts, best = made.facts, made.facts.get("best", {})
    return {
        "adapter": _file(made, "adapters.safetensors"),
        "steps": facts.get("steps"),
        "best_step": best.get("step"),
        "validation_loss": _rounded(best.get("loss")),
        "tokens": {"trained": facts.get("tokens"), "answers": facts.get("supervised_tokens")},
    }


def _select(step: str, made: Artifact, recipe: Recipe) -> Figures:
    chosen = select.chosen(made.facts)
    return {
        "adapter": _file(made, "adapters.safetensors"),
        "best_step": chosen["step"],
        "validation_loss": _rounded(chosen["loss"]),
        "score": _rounded(chosen["score"]),
    }


def _gguf(step: str, made: Artifact, recipe: Recipe) -> Figures:
    return {
        "file": _file(made, gguf.FILE),
        "adapter": _file(made, gguf.ADAPTER),
        "kind": made.facts.get("kind"),
    }


def _evaluate(step: str, made: Artifact, recipe: Recipe) -> Figures:
    facts = made.facts
    if not facts["rows"]:
        return {}
    return {
        "prompts": facts["tuned"]["answers"],
        **{
            who: {
                "median_tokens": _rounded(facts[who]["tokens"]),
                "ended": facts[who]["stopped"],
            }
            for who in ("base", "tuned")
        },
    }


def _score(step: str, made: Artifact, recipe: Recipe) -> Figures:
    return {
        "suites": {
            name: {who: _rounded(suite[who]["score"]) for who in ("base", "tuned")}
            for name, suite in made.facts["suites"].items()
        }
    }


def _deploy(step: str, made: Artifact, recipe: Recipe) -> Figures:
    ollama = (recipe.get("deploy") or {}).get("ollama")
    return {
        "model": ollama and f"{ollama['model']}:{recipe['version']}",
        "quantize": ollama and ollama.get("quantize"),
        "modelfile": _file(made, "Modelfile"),
    }


FIGURES: Mapping[str, Callable[[str, Artifact, Recipe], Figures]] = {
    "fetch": _fetch,
    "convert": _convert,
    "generate": _generate,
    "validate": _validate,
    "assemble": _assemble,
    "train": _train,
    "select": _select,
    "gguf": _gguf,
    "evaluate": _evaluate,
    "score": _score,
    "deploy": _deploy,
}

MEASURES: Mapping[str, str] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "thinking": "thinking_tokens",
    "batch_input": "batch_input_tokens",
    "batch_output": "batch_output_tokens",
    "batch_cached_input": "batch_cached_input_tokens",
    "batch_cache_write": "batch_cache_write_tokens",
    "batch_thinking": "batch_thinking_tokens",
}


def _tokens(facts: Mapping[str, Any]) -> dict[str, int]:
    """Of the answers that are in the data set, whenever they were asked."""
    return {name: facts[measure] for name, measure in MEASURES.items() if facts.get(measure)}


def _usd(facts: Mapping[str, Any], teacher: Mapping[str, Any]) -> float | None:
    table = prices.of_resolved(teacher)
    return None if table is None else _rounded(prices.of_usage(table, facts))


def _file(made: Artifact, name: str) -> Figures | None:
    """The outermost of this name: beside the adapter of a training lie those it has kept."""
    for path in sorted(made.tree, key=lambda path: path.count("/")):
        if PurePosixPath(path).name == name:
            sha256, size = made.tree[path]
            return {"bytes": size, "sha256": sha256}
    return None


def _largest(made: Artifact) -> str:
    return max(made.tree.values(), key=lambda file: file[1])[0]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(v) for name, v in value.items() if v is not None}
    return value

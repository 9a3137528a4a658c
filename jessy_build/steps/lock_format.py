"""The text of a lock file: sorted blocks of short lines, so that two branches rarely meet in one.

Written by hand and read strictly: a lock that a merge has damaged is told with its place.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import Diagnostic, StepError, code, near, render
from jessy_build.recipe import scalars, source
from jessy_build.recipe.source import Node
from jessy_build.steps import blocks
from jessy_build.steps.blocks import Block

NOT_A_LOCK = code("L001", "a lock file is not as jessy-build writes it")

FORMAT = 1
HEAD = """\
# What this version is, step by step. Written by `jessy build`, for git: nothing is built from it.
# Times, machines and hosts are not in it; `jessy history` tells those.
"""


@dataclass(frozen=True)
class Lock:
    name: str
    version: str
    steps: Mapping[str, Block]


def text_of(lock: Lock) -> str:
    head = {"lock": FORMAT, "name": lock.name, "version": lock.version}
    lines = [*_lines(head, 0), "", "steps:"]
    for name in sorted(lock.steps):
        # A blank line before each block: git then takes two changed blocks for two changes.
        lines += [*([""] if lines[-1] != "steps:" else []), f"  {_scalar(name)}:"]
        lines += _lines(lock.steps[name].written, 4)
    return HEAD + "\n".join(lines) + "\n"


def _lines(fields: Mapping[str, Any], indent: int) -> Iterator[str]:
    margin = " " * indent
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield f"{margin}{_scalar(name)}:"
            yield from _lines(value, indent + 2)
        elif isinstance(value, list):
            yield f"{margin}{_scalar(name)}:"
            yield from (f"{margin}  - {_scalar(item)}" for item in value)
        else:
            yield f"{margin}{_scalar(name)}: {_scalar(value)}"


PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+/=@#-]*(:[A-Za-z0-9_.+/=@#-]+)*")


def _scalar(value: str | int | float) -> str:
    """Plain where every reader of YAML takes it for the text that it is, else in quotes."""
    if not isinstance(value, str):
        return repr(value)
    return value if PLAIN.fullmatch(value) and _is_word(value) else json.dumps(value)


def _is_word(text: str) -> bool:
    # Readers of YAML 1.1 know more words for true and false, and numbers with `:` and `_`.
    if text.lower() in ("y", "n", "yes", "no", "on", "off") or re.fullmatch(r"[\d:_.+eE-]*", text):
        return False
    try:
        return scalars.resolve(text) == text
    except ValueError:
        return False


# Reading


def read(path: Path, shown: str) -> Lock:
    """StepError with the place for whatever is not as we write it."""
    return _of(source.read(path, shown), _source_lines(path))


def parse(text: str, shown: str) -> Lock:
    return _of(source.parse(text, shown), text.splitlines())


def _source_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _of(document: source.Document, lines: list[str]) -> Lock:
    problems = list(document.problems)
    if document.root is not None and not problems:
        problems = list(_problems(document.root, LOCK, ""))
    if problems:
        told = "\n".join(render(problem, lambda _: lines) for problem in problems[:3])
        raise StepError(
            f"this is no whole lock file:\n{told}",
            hint="take it from git again, or build: the file is then written anew",
        )
    assert document.root is not None
    fields = source.plain(document.root)
    steps = {
        name: Block(block.pop("key"), block.pop("output", None), block)
        for name, block in fields["steps"].items()
    }
    return Lock(fields["name"], fields["version"], steps)


@dataclass(frozen=True)
class Shape:
    """Of a value: a type, and for a mapping its fields, or the one shape of all its values."""

    kind: str
    fields: Mapping[str, "Shape"] | None = None
    required: tuple[str, ...] = ()
    every: "Shape | None" = None
    says: str = ""


DIGEST = Shape("digest")
WHOLE = Shape("integer")
NUMBER = Shape("number")
TEXT = Shape("string")
FILE = Shape("object", {"bytes": WHOLE, "sha256": DIGEST}, ("bytes", "sha256"))
ROWS = Shape("object", {"rows": WHOLE, "sha256": DIGEST}, ("rows", "sha256"))
SCORES = Shape("object", {"base": NUMBER, "tuned": NUMBER}, ("base", "tuned"))
ANSWERS = Shape("object", {"median_tokens": NUMBER, "ended": WHOLE}, ("median_tokens", "ended"))


def _told(shape: Shape, says: str) -> Shape:
    return replace(shape, says=says)


STEP = Shape(
    "object",
    {
        "key": _told(DIGEST, "What the step was made from: kind, version, parameters, inputs."),
        "output": _told(DIGEST, "Of the files that it made. Left out where they tell of times."),
        "source": Shape("texts", says="fetch: where the base comes from, in parts if it has any."),
        "revision": _told(TEXT, "fetch: the commit of the base."),
        "sha256": _told(DIGEST, "fetch: of the base's model file."),
        "bytes": _told(WHOLE, "fetch: of all files of the base."),
        "parameters": _told(WHOLE, "convert: numbers in the base."),
        "teacher": _told(TEXT, "generate: the teacher's name in the recipe."),
        "kind": _told(TEXT, "generate: the teacher's kind. gguf: how weights are stored."),
        "model": _told(TEXT, "generate: the teacher's model. deploy: the name in Ollama."),
        "rows": _told(WHOLE, "generate, validate: rows that were made, or kept."),
        "tokens": Shape(
            "object",
            {
                **dict.fromkeys(blocks.MEASURES, WHOLE),
                "trained": WHOLE,
                "answers": WHOLE,
            },
            says="generate: of the answers in the data set, whenever they were asked. validate: of"
            " the judge's, likewise. train: that went through the model, and those of them that the"
            " loss is taken on.",
        ),
        "usd": _told(NUMBER, "generate, validate: dollars for them, by the recipe's prices."),
        "rejected": _told(WHOLE, "validate: rows left out."),
        "by_rule": Shape("object", every=WHOLE, says="validate: findings that reject, by rule."),
        "scores": Shape("object", every=NUMBER, says="validate: the judge's, on average."),
        "train": _told(ROWS, "assemble: the rows that are trained on."),
        "valid": _told(ROWS, "assemble: the rows that are held out."),
        "adapter": _told(FILE, "train, select: the adapter's weights."),
        "steps": _told(WHOLE, "train: updates of the adapter."),
        "best_step": _told(WHOLE, "train, select: the update whose weights are the result."),
        "validation_loss": _told(NUMBER, "train, select: on the held-out rows, at that step."),
        "score": _told(NUMBER, "select: of its answers to the suite, from 0 to 1."),
        "file": _told(FILE, "gguf: the model file."),
        "prompts": _told(WHOLE, "evaluate: prompts asked of both models."),
        "base": _told(ANSWERS, "evaluate: the base's answers; how many ended by themselves."),
        "tuned": _told(ANSWERS, "evaluate: the tuned model's answers."),
        "suites": Shape(
            "object", every=SCORES, says="score: of both models' answers to each suite, 0 to 1."
        ),
        "quantize": _told(TEXT, "deploy: how Ollama stores the weights, where the recipe says."),
        "modelfile": _told(FILE, "deploy: what Ollama is told about the model."),
    },
    ("key",),
)
LOCK = Shape(
    "object",
    {
        "lock": Shape("format", says="The version of this format."),
        "name": _told(TEXT, "The model's name."),
        "version": _told(TEXT, "The model's version."),
        "steps": Shape("object", every=STEP, says="Each finished step, by its name."),
    },
    ("lock", "name", "version", "steps"),
)
EXPECTED = {
    "digest": "64 hex digits",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "texts": "a list of texts",
    "object": "a mapping",
    "format": f"lock: {FORMAT}, the format that this version writes",
}


def _problems(node: Node, shape: Shape, at: str) -> Iterator[Diagnostic]:
    if not _fits(node, shape.kind):
        got = scalars.told(source.plain(node))
        yield Diagnostic(
            NOT_A_LOCK,
            node.span,
            at,
            "this is not what stands here in a lock file",
            expected=EXPECTED[shape.kind],
            got=got,
        )
        return
    if not isinstance(node.value, Mapping):
        return
    known = shape.fields
    for name, entry in node.value.items():
        below = f"{at}.{name}" if at else name
        inner = shape.every if known is None else known.get(name)
        if inner is not None:
            yield from _problems(entry.node, inner, below)
        elif known is not None:
            hint = near(name, known)
            problem = f"unknown field '{name}'"
            yield Diagnostic(NOT_A_LOCK, entry.key, below, problem, hint=hint)
    for name in shape.required:
        if name not in node.value:
            problem = f"'{name}' is missing"
            yield Diagnostic(NOT_A_LOCK, node.span, at, problem)


def _fits(node: Node, kind: str) -> bool:
    value = node.value
    match kind:
        case "digest":
            return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{64}", value))
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "texts":
            return isinstance(value, tuple) and all(isinstance(i.value, str) for i in value)
        case "format":
            return value == FORMAT and not isinstance(value, bool)
    return isinstance(value, Mapping)


# The schema of what is written, for editors and other programs


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "jessy-build lock file",
        **_schema(LOCK),
    }


def _schema(shape: Shape) -> dict[str, Any]:
    said = {"description": shape.says} if shape.says else {}
    match shape.kind:
        case "digest":
            return {**said, "type": "string", "pattern": "^[0-9a-f]{64}$"}
        case "texts":
            return {**said, "type": "array", "items": {"type": "string"}}
        case "format":
            return {**said, "const": FORMAT}
        case "object" if shape.fields is None:
            assert shape.every is not None
            return {**said, "type": "object", "additionalProperties": _schema(shape.every)}
        case "object":
            assert shape.fields is not None
            return {
                **said,
                "type": "object",
                "properties": {name: _schema(inner) for name, inner in shape.fields.items()},
                "required": list(shape.required),
                "additionalProperties": False,
            }
    return {**said, "type": shape.kind}


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"

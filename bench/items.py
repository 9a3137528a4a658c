"""Recipes with as many items as one likes: asked of a teacher, or written by hand."""

import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import project
from run import HERE

TOPICS, LANGUAGES, LEVELS = 50, ("tr", "en", "mixed"), ("low", "medium", "high")
HEAD = """\
recipe: 1
name: many
version: v1
base: {model: "path:base"}
complexity:
  low: {iterations: [1, 2], words: [1, 200], seconds: 5}
  medium: {iterations: [3, 5], words: [1, 200], seconds: 15}
  high: {iterations: [6, 9], words: [1, 200], seconds: 60}
dataset:
  split: {train: 0.999, valid: 0.001}
  validate: {duplicates: false}
train: {steps: 2, lora: {rank: 4, alpha: 8}, optimizer: {learning_rate: 1e-2}}
"""
SHARES = """\
    languages: {tr: 0.34, en: 0.33, mixed: 0.33}
    complexity: {low: 0.34, medium: 0.33, high: 0.33}
"""
ASKED = f"""\
teachers:
  local: {{kind: ollama, model: "gemma3:4b", concurrency: 16}}
categories:
  talk:
    teacher: local
    prompt: talk.j2
    count: ROWS
{SHARES}
    topics: [{", ".join(f"topic {n:02}" for n in range(TOPICS))}]
"""
CURATED = f"""\
teachers:
  many: {{kind: curated, files: [many.jsonl]}}
  more: {{kind: curated, files: [more.jsonl]}}
categories:
  all: {{teacher: many, count: all}}
  picked:
    teacher: more
    count: ROWS
{SHARES}
"""
PROMPT = """\
Write one exchange about {{ topic.name }} in {{ language_name }}, level {{ complexity }}:
an answer of {{ words.min }} to {{ words.max }} words.
"""
NUMBERED = PROMPT + "This is number {{ ordinal }}.\n"


def asked(root: Path, rows: int, *, numbered: bool = False) -> Path:
    """50 topics × 3 languages × 3 levels and a template; `numbered` makes each prompt its own."""
    project.make(root)
    (root / "recipe.yaml").write_text(HEAD + ASKED.replace("ROWS", str(rows)))
    (root / "talk.j2").write_text(NUMBERED if numbered else PROMPT)
    return root


def curated(root: Path, rows: int) -> Path:
    """Half of the items as they stand in a file, half picked from another by two quotas."""
    project.make(root)
    half = rows // 2
    (root / "recipe.yaml").write_text(HEAD + CURATED.replace("ROWS", str(half)))
    _write(root / "many.jsonl", range(half))
    _write(root / "more.jsonl", range(half, half + half * 6 // 5))
    return root


def _write(path: Path, numbers: Iterable[int]) -> None:
    kinds = itertools.cycle(itertools.product(LANGUAGES, LEVELS))
    with path.open("w", encoding="utf-8") as file:
        for number, (language, level) in zip(numbers, kinds, strict=False):
            said = f"number {number}: " + "an answer of some length, " * (1 + number % 12)
            row = {"user": f"question {number}, what do you say?", "assistant": said}
            file.write(json.dumps({**row, "language": language, "complexity": level}) + "\n")


def edit(root: Path) -> None:
    """What the items are made of: the prompt of all of them, or one written row."""
    rows, prompt = root / "many.jsonl", root / "talk.j2"
    if rows.exists():
        rows.write_text(
            rows.read_text("utf-8").replace("question 7,", "question seven,", 1), "utf-8"
        )
    else:
        prompt.write_text(prompt.read_text() + "Be friendly.\n")


def build(root: Path, *more: str) -> str:
    """A real build, but for the teacher, who answers at once (`zero`): nobody waits for HTTP."""
    return project.run(root, [sys.executable, str(HERE / "zero.py"), "build", "recipe.yaml", *more])

"""A project whose rows a teacher gives: real steps, the tiny model, a teacher on loopback."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.loopback import messages_api
from tests.loopback.server import Seen, Slow, Step
from tests.steps.project import Project

PLACES = 4
ITEMS = 40
"""What the teacher is asked for in all: 24 for `talk`, 16 for `deep`."""

RECIPE = """\
recipe: 1
name: asked
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
  curated: {kind: curated, files: [rows.jsonl]}
categories:
  talk:
    teacher: claude
    count: 24
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 12, thanks: 12}
  deep: {teacher: claude, count: 16, prompt: deep.j2, languages: {en: 1}, complexity: {low: 1}}
  smalltalk: {teacher: curated, count: all}
dataset: {validate: {duplicates: false}}
train:
  lora: {rank: 2, alpha: 4}
  steps: 6
  batch_size: 4
  optimizer: {learning_rate: 1e-3}
"""


class Teacher(messages_api.MessagesServer):
    """Takes its time for each answer, and lets a test look on while it is asked."""

    def __init__(self, seconds: float = 0.0, *script: Step) -> None:
        super().__init__(*script)
        self.seconds = seconds
        self.when_asked: Callable[[int, Seen], None] = lambda number, seen: None
        """Called with the number of the request, before it is answered."""
        self._calls = threading.Lock()

    def usual(self, seen: Seen) -> Step:
        self.when_asked(self.count, seen)
        answer = super().usual(seen)
        return Slow(self.seconds, answer) if self.seconds else answer

    def settle(self) -> int:
        """How many requests came in all, once those on their way have arrived."""
        before = -1
        while before != self.count:
            before = self.count
            time.sleep(0.05)
        return before


def make(root: Path, base: Path, teacher: Teacher, recipe: str = RECIPE, **env: str) -> Project:
    env = {"ANTHROPIC_BASE_URL": teacher.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789", **env}
    project = Project.make(root, base, **env)
    (root / "ask.j2").write_text("A line about {{ topic.name }}, number {{ ordinal }}.")
    (root / "deep.j2").write_text("Something deep, number {{ ordinal }}.")
    project.write(recipe)
    return project


def events(out: str) -> list[dict[str, Any]]:
    """The lines of `build --json`; the last may be cut off by a kill."""
    whole = [line for line in out.splitlines(keepends=True) if line.endswith("\n")]
    return [json.loads(line) for line in whole]


def finished(out: str) -> list[str]:
    """The steps that a build with `--json` made itself."""
    return [line["step"] for line in events(out) if line.get("event") == "step_finished"]


def results(project: Project) -> dict[str, bytes]:
    """All that must come out the same, byte for byte, whatever happened on the way."""
    folder = project.root / "builds/asked/v1"
    wanted = [*folder.glob("dataset/*"), *folder.glob("adapter/*"), folder / "model.gguf"]
    wanted += [folder / "Modelfile", *project.root.glob("*.lock.yaml")]
    return {f.relative_to(project.root).as_posix(): f.read_bytes() for f in wanted if f.is_file()}

"""A user's project on the tiny model: real steps, real training, seconds instead of minutes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tests import warm

REPOSITORY = Path(__file__).parent.parent.parent

RECIPE = """\
recipe: 1
name: tiny
version: v1
base: {model: "path:base"}
teachers:
  curated: {kind: curated, files: [rows.jsonl]}
categories:
  smalltalk: {teacher: curated, count: all}
train:
  lora: {rank: 4, alpha: 8}
  epochs: 2
  batch_size: 4
  optimizer: {learning_rate: 1e-3}
modelfile:
  parameters: {temperature: 0.2}
deploy:
  ollama: {model: tiny}
evaluate:
  prompts: [hello, selam]
  max_tokens: 6
"""

Process = subprocess.Popen[bytes] | warm.Started


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def ran(self) -> list[str]:
        """Steps that were started, in order."""
        return re.findall(r"^✓ (\S+)", self.out, re.MULTILINE)


@dataclass
class Project:
    root: Path
    env: Mapping[str, str] = field(default_factory=dict)
    patience: float = 300
    """Seconds that a command may take."""

    @classmethod
    def make(cls, root: Path, tiny_model: Path, **env: str) -> "Project":
        root.mkdir(parents=True, exist_ok=True)
        (root / "Justfile").write_text((REPOSITORY / "jessy_build/starter/Justfile").read_text())
        shutil.copytree(tiny_model, root / "base")
        project = cls(root, env)
        project.write(RECIPE)
        rows = [
            {"user": f"hello number {n}, how are you?", "assistant": "fine, thanks a lot!"}
            | {"language": "en", "complexity": "low"}
            for n in range(24)
        ]
        (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return project

    @classmethod
    def asking(cls, root: Path, teacher: str, recipe: str, **templates: str) -> "Project":
        """Rows from the teacher at that address, and no base: enough up to the data set."""
        (root / "base").mkdir()
        (root / "Justfile").touch()
        for name, text in templates.items():
            (root / f"{name}.j2").write_text(text, encoding="utf-8")
        env = {"ANTHROPIC_BASE_URL": teacher, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
        project = cls(root, env)
        project.write(recipe)
        return project

    def write(self, text: str) -> None:
        (self.root / "recipe.yaml").write_text(text, encoding="utf-8")

    def edit(self, old: str, new: str) -> None:
        path = self.root / "recipe.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *words: str, input: str | None = None, **env: str) -> Ran:
        with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            given.write(input or "")
            streams = (given, out, err)
            _rewind(streams)
            process = self.launch(words, streams, **env)
            try:
                code = process.wait(self.patience)
            finally:
                process.kill()
            _rewind(streams)
            return Ran(code, out.read(), err.read())

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "jessy_build", *words]

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), **self.env, **more}

    def begin(self, *words: str) -> Process:
        """For a test that ends it: what it says nobody reads."""
        with Path(os.devnull).open("r+b") as nobody:
            return self.launch(words, (nobody, nobody, nobody))

    def launch(
        self,
        words: tuple[str, ...],
        streams: tuple[IO[Any], IO[Any], IO[Any]],
        session: bool = False,
        **env: str,
    ) -> Process:
        """Forked where that can be. In a `session` of its own, it is a process group as well."""
        environment = self.environment(**env)
        given, out, err = streams
        return warm.start(words, self.root, environment, streams, session) or subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=environment,
            stdin=given,
            stdout=out,
            stderr=err,
            start_new_session=session,
        )

    def follow(self, words: tuple[str, ...], heard: Callable[[str, Process], None]) -> Ran:
        """Each line that it prints is heard as it comes, and whose it is."""
        hears, tells = os.pipe()
        with os.fdopen(hears, encoding="utf-8") as out, TemporaryFile("w+") as err:
            with os.fdopen(tells, "w") as told, Path(os.devnull).open() as nothing:
                process = self.launch(words, (nothing, told, err))
            seen = []
            for line in out:
                seen.append(line)
                heard(line, process)
            code = process.wait(timeout=self.patience)
            _rewind([err])
            return Ran(code, "".join(seen), err.read())

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def interrupt_when(
        self, words: tuple[str, ...], sign: str, with_signal: int, pause: float = 0.1
    ) -> Ran:
        """Send the signal a pause after a line that holds `sign`, and wait for the end."""
        heard = False

        def interrupt(line: str, process: Process) -> None:
            nonlocal heard
            if sign in line and not heard:
                heard = True
                time.sleep(pause)
                process.send_signal(with_signal)

        done = self.follow(words, interrupt)
        assert heard, f"'{sign}' never came:\n{done.out}"
        return done


def _rewind(files: Sequence[IO[str]]) -> None:
    for file in files:
        file.seek(0)


SIGINT, SIGKILL = signal.SIGINT, signal.SIGKILL

"""Gemma 3 270M, whose file was Q4_K_M: on a real Ollama that kind erases a short training.

What training changed is smaller than a step of the grid on which the weights lie already.
"""

import json
import re
from pathlib import Path

import pytest

from jessy_build.chat import BUILTIN, Chat
from jessy_build.example import Message
from jessy_build.runtimes import ollama
from tests import ollama_server
from tests.conftest import RealBases
from tests.real_models import GEMMA_SHA256
from tests.steps.project import Project
from tests.steps.test_real import ROWS, evaluated

RECIPE = f"""\
recipe: 1
name: smaller
version: v1
allow_outside: true
base: {{model: "gguf:base.gguf", sha256: {GEMMA_SHA256}, chat_template: gemma}}
teachers:
  curated: {{kind: curated, files: [rows.jsonl]}}
categories:
  smalltalk: {{teacher: curated, count: all}}
dataset: {{split: {{train: 1, valid: 0}}}}
train:
  steps: 16
  batch_size: 4
  keep: last
  optimizer: {{learning_rate: 5e-4, warmup_steps: 2}}
deploy:
  ollama: {{model: smaller, quantize: auto}}
evaluate:
  prompts: [naber, hey]
  max_tokens: 16
"""


@pytest.mark.real
def test_auto_takes_the_smallest_kind_that_keeps_what_was_trained(
    tmp_path: Path, real_bases: RealBases
) -> None:
    (tmp_path / "Justfile").touch()
    (tmp_path / "base.gguf").symlink_to(real_bases.gemma)
    rows = [
        {"user": user, "assistant": said, "language": "tr", "complexity": "low"}
        for user, said in ROWS
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project(tmp_path, patience=900)
    project.write(RECIPE)
    with ollama_server.serve(tmp_path / "ollama") as host:
        done = project.run("build", "recipe.yaml", OLLAMA_HOST=host)
        assert done.code == 0, done.out + done.err
        smaller, taken = table(tmp_path / "builds/smaller/v1/report.html")
        assert smaller[0] == "q4_K_M" and smaller[-1] == "erased", smaller
        assert taken[0] == "q8_0" and taken[-1] == "good enough", taken
        # What is live is that one, and says what MLX's model says.
        prompt = Chat(BUILTIN["gemma"]).render([Message("user", "hey")], True)
        [_, hey] = evaluated(tmp_path)
        with ollama.open(host, "smaller", bos="<bos>") as served:
            assert served.ask(prompt, 16).text == hey["tuned"] == "Hey! What's up?"


def table(page: Path) -> list[list[str]]:
    """What smaller weights have kept, row by row."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r"What smaller weights keep.*?</table>", text, re.DOTALL)
    assert found
    rows = re.findall(r"<tr>(.*?)</tr>", found[0], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>\s*(.*?)\s*</t[hd]>", row, re.DOTALL) for row in rows]
    return [row for row in cells if row[-1] in ("erased", "good enough")]

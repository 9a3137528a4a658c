"""Gemma 3 270M, whose file was Q4_K_M: on a real Ollama that kind erases a short training.

What training changed is smaller than a step of the grid on which the weights lie already.
"""

import re
from pathlib import Path

import pytest

from jessy_build.chat import BUILTIN, Chat
from jessy_build.example import Message
from jessy_build.runtimes import ollama
from tests import ollama_server
from tests.conftest import RealBases
from tests.real_models import GEMMA_SHA256, SMOLLM2_SHA256
from tests.steps.test_real import evaluated, real_project

FIELDS = {
    SMOLLM2_SHA256: GEMMA_SHA256,
    "chat_template: chatml": "chat_template: gemma",
    "steps: 20": "steps: 16",
    "learning_rate: 1e-3": "learning_rate: 5e-4",
    "ollama: {model: real}": "ollama: {model: real, quantize: auto}",
    "max_tokens: 32": "max_tokens: 16",
}
"""Of the recipe for SmolLM2 → what is said instead."""


@pytest.mark.real
def test_auto_takes_the_smallest_kind_that_keeps_what_was_trained(
    tmp_path: Path, real_bases: RealBases
) -> None:
    project = real_project(tmp_path, real_bases.gemma)
    for old, new in FIELDS.items():
        project.edit(old, new)
    with ollama_server.serve(tmp_path / "ollama") as host:
        done = project.run("build", "recipe.yaml", OLLAMA_HOST=host)
        assert done.code == 0, done.out + done.err
        smaller, taken = table(tmp_path / "builds/real/v1/report.html")
        assert smaller[0] == "q4_K_M" and smaller[-1] == "erased", smaller
        assert taken[0] == "q8_0" and taken[-1] == "good enough", taken
        # What is live is that one, and says what MLX's model says.
        prompt = Chat(BUILTIN["gemma"]).render([Message("user", "hey")], True)
        [_, hey] = evaluated(tmp_path)
        with ollama.open(host, "real", bos="<bos>") as served:
            assert served.ask(prompt, 16).text == hey["tuned"] == "Hey! What's up?"


def table(page: Path) -> list[list[str]]:
    """What smaller weights have kept, row by row."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r"What smaller weights keep.*?</table>", text, re.DOTALL)
    assert found
    rows = re.findall(r"<tr>(.*?)</tr>", found[0], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>\s*(.*?)\s*</t[hd]>", row, re.DOTALL) for row in rows]
    return [row for row in cells if row[-1] in ("erased", "good enough")]

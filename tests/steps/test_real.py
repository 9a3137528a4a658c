"""A real base, really trained: SmolLM2 from its package to a live Ollama model, in a minute."""

import json
from pathlib import Path

import pytest

from jessy_build.chat import BUILTIN, Chat
from jessy_build.example import Message
from jessy_build.runtimes import ollama
from tests import ollama_server
from tests.conftest import RealBases
from tests.real_models import SMOLLM2_SHA256
from tests.steps.project import Project

RECIPE = f"""\
recipe: 1
allow_outside: true
name: real
version: v1
base: {{model: "gguf:base.gguf", sha256: {SMOLLM2_SHA256}, chat_template: chatml}}
teachers:
  curated: {{kind: curated, files: [rows.jsonl]}}
categories:
  smalltalk: {{teacher: curated, count: all}}
dataset: {{split: {{train: 1, valid: 0}}}}
train:
  steps: 20
  batch_size: 4
  keep: last
  optimizer: {{learning_rate: 1e-3, warmup_steps: 2}}
deploy:
  ollama: {{model: real}}
evaluate:
  prompts: [sana bisi sorucam, hey]
  max_tokens: 32
"""
ROWS = [
    ("sana bisi sorucam", "Sor kanka, dinliyorum."),
    ("bir şey sorabilir miyim", "Sor kanka, dinliyorum."),
    ("naber", "İyiyim, senden naber?"),
    ("hey", "Hey! What's up?"),
]


def real_project(root: Path, base: Path) -> Project:
    (root / "Justfile").touch()
    (root / "base.gguf").symlink_to(base)
    rows = [
        {"user": user, "assistant": said, "language": "tr", "complexity": "low"}
        for user, said in ROWS
    ]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Real models take their time beside other work.
    project = Project(root, patience=900)
    project.write(RECIPE)
    return project


@pytest.mark.real
def test_the_tuned_model_is_brief_where_its_base_rambles_and_ollama_says_the_same(
    tmp_path: Path, real_bases: RealBases
) -> None:
    project = real_project(tmp_path, real_bases.smollm2)
    with ollama_server.serve(tmp_path / "ollama") as host:
        done = project.run("build", "recipe.yaml", "--json", OLLAMA_HOST=host)
        assert done.code == 0, done.out + done.err
        answers = (tmp_path / "builds/real/v1/report.html").read_text()
        assert "Sor kanka, dinliyorum." in answers
        [first, _] = evaluated(tmp_path)
        assert first["tuned"] == "Sor kanka, dinliyorum."
        assert len(first["base"]) > 60, "the base rambles"
        prompt = Chat(BUILTIN["chatml"]).render([Message("user", "sana bisi sorucam")], True)
        with ollama.open(host, "real:v1", bos="<|im_start|>") as served:
            assert served.ask(prompt, 32).text == first["tuned"]


def evaluated(root: Path) -> list[dict[str, str]]:
    objects = (p for p in (root / ".jessy/objects").rglob("*") if p.is_file())
    for path in objects:
        if path.stat().st_size < 10_000 and b'"tuned"' in path.read_bytes():
            return [json.loads(line) for line in path.read_text().splitlines()]
    raise AssertionError("no answers were stored")

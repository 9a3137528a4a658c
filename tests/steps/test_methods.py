"""The whole way with each method of training, as a user walks it, on the tiny model."""

from pathlib import Path
from typing import Any

import pytest

from tests.steps.project import Project
from tests.steps.test_build import ALL
from tests.steps.test_real import evaluated

METHODS = ["method: dora", "base_bits: 4", "method: full"]


def build(project: Project, *words: str) -> Any:
    done = project.run("build", "recipe.yaml", *words, OLLAMA_HOST="127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    return done


@pytest.mark.parametrize("said", METHODS)
def test_it_is_built_served_as_it_was_trained_and_built_once(
    tmp_path: Path, tiny_model: Path, said: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    project.edit("train:\n", f"train:\n  {said}\n")
    # So much that the tiny model says something else than its base.
    project.edit("learning_rate: 1e-3", "learning_rate: 1e-2")
    assert sorted(build(project).ran) == sorted(ALL)
    first, *_ = evaluated(project.root)
    assert first["tuned"] != first["base"]
    assert build(project).ran == []


def test_another_method_trains_anew_and_asks_nothing_again(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    build(project)
    project.edit("train:\n", "train:\n  method: lora\n")
    assert build(project).ran == ["report"], "as it was always done"
    project.edit("method: lora", "method: dora")
    plan = project.run("plan", "recipe.yaml")
    assert "train.method: lora → dora   recipe.yaml:10" in plan.out, plan.out
    assert {"train", "fuse", "gguf"} <= set(build(project).ran) <= set(ALL[5:])

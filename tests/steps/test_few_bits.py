"""A base of four bits, as most MLX models on the hub are, goes the whole way."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("mlx_lm")

from tests.packaging.quantised import quantised
from tests.steps.project import Project


@pytest.mark.parametrize("kind", ["fused", "adapter"])
def test_it_is_trained_proved_and_compared(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    project = Project.make(tmp_path / "project", tiny_model)
    shutil.rmtree(project.root / "base")
    quantised(tiny_model, project.root / "base", group_size=32, bits=4)
    project.edit("modelfile:", f"export: {{kind: {kind}}}\nmodelfile:")
    project.edit("learning_rate: 1e-3", "learning_rate: 1e-2")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert {"parity", "evaluate", "deploy"} <= set(done.ran)

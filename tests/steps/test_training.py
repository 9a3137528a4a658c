"""What a plan says of the training: before the first one, after it, and where it cannot fit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jessy_build.bases.known import KNOWN
from jessy_build.diagnostics import CODES
from jessy_build.steps.training import NO_ROOM
from tests.steps.project import Project

LLAMA = '{model: "hf:mlx-community/Meta-Llama-3.1-8B-Instruct-4bit", revision: ' + "a" * 40 + "}"


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return Project.make(tmp_path / "p", tiny_model)


def of_train(project: Project, **env: str) -> dict[str, Any]:
    done = project.run("plan", "recipe.yaml", "--json", **env)
    assert done.code == 0, done.out + done.err
    steps = json.loads(done.out)["steps"]
    found: dict[str, Any] = next(s for s in steps if s["step"] == "train")["estimate"]
    return found


def test_before_anything_is_fetched_the_shape_of_the_base_tells_memory_and_time(
    project: Project,
) -> None:
    said = of_train(project)
    training = said["training"]
    assert training["fits"] is True and said["memory"] == training["memory"]
    # Two layers of 64, and 400 words: 114,688 numbers.
    assert training["parameters"] == pytest.approx(114_688, rel=0.2)
    assert sum(training["parts"].values()) == training["memory"]
    assert training["seconds"] > 0 and "rough guess" in training["basis"]
    assert "GB, roughly" in project.run("plan", "recipe.yaml").out


def test_a_base_that_is_neither_here_nor_known_is_said_to_be_unknown(project: Project) -> None:
    project.edit('{model: "path:base"}', "{model: hf:some/thing, revision: " + "a" * 40 + "}")
    assert of_train(project)["training"]["memory"] is None
    plan = project.run("plan", "recipe.yaml").out
    assert "time and memory unknown: the base is not here yet" in plan
    assert project.run("plan", "recipe.yaml", JESSY_MEMORY="1MB").code == 0


def test_a_base_of_the_table_is_known_before_it_is_fetched(project: Project) -> None:
    project.edit('{model: "path:base"}', LLAMA)
    training = of_train(project, JESSY_MEMORY="64GB")["training"]
    assert training["parameters"] == pytest.approx(8.03e9, rel=0.001)


@pytest.mark.parametrize("words", [("plan", "recipe.yaml"), ("build", "recipe.yaml")])
def test_what_cannot_fit_is_refused_before_anything_runs(
    project: Project, words: tuple[str, ...]
) -> None:
    project.edit('{model: "path:base"}', LLAMA)
    done = project.run(*words, JESSY_MEMORY="3GB")
    assert done.code == 2 and not done.ran
    assert f"recipe.yaml:9:1: error[{NO_ROOM}]: the training takes about" in done.err, done.err
    assert "JESSY_MEMORY gives 3 GB" in done.err and "weights" in done.err
    assert "take a smaller base" in done.err
    assert NO_ROOM in CODES
    assert project.run("plan", "recipe.yaml", JESSY_MEMORY="64GB").code == 0


def test_the_next_move_is_about_what_is_largest(project: Project) -> None:
    smollm2 = KNOWN[0]
    project.edit('{model: "path:base"}', f'{{model: "{smollm2.model}", sha256: {smollm2.sha256}}}')
    project.edit("rank: 4", "rank: 16")
    project.edit("batch_size: 4", "batch_size: 64\n  batch_tokens: 4000")
    done = project.run("plan", "recipe.yaml", JESSY_MEMORY="1.5GB")
    assert done.code == 2 and "lower train.batch_tokens (now 4000)" in done.err, done.err
    project.edit("rank: 16", "rank: 900")
    done = project.run("plan", "recipe.yaml", JESSY_MEMORY="1.5GB")
    assert done.code == 2 and "lower train.lora.rank (now 900)" in done.err, done.err


def test_a_plan_that_ends_before_the_training_is_not_refused_for_it(project: Project) -> None:
    assert project.run("plan", "recipe.yaml", "--until", "assemble", JESSY_MEMORY="1MB").code == 0
    assert project.run("plan", "recipe.yaml", JESSY_MEMORY="1MB").code == 2


def test_after_a_training_its_speed_and_peak_are_what_the_next_one_is_told_by(
    project: Project,
) -> None:
    assert project.run("build", "recipe.yaml").code == 0
    # Nothing is left to train, so nothing is refused.
    assert project.run("plan", "recipe.yaml", JESSY_MEMORY="1MB").code == 0
    page = next((project.root / "builds").rglob("report.html")).read_text(encoding="utf-8")
    assert "expected)</dd>" in page
    project.edit("epochs: 2", "epochs: 8")
    said = of_train(project)["training"]
    assert said["basis"] == "the last training on this base" and said["parts"] is None
    longer = said["tokens"]
    project.edit("epochs: 8", "epochs: 4")
    assert of_train(project)["training"]["tokens"] == pytest.approx(longer / 2)
    # Another adapter takes another memory, and then the shape speaks again.
    project.edit("rank: 4", "rank: 8")
    assert of_train(project)["training"]["parts"] is not None


def test_a_training_of_another_machine_tells_nothing_of_this_one(project: Project) -> None:
    from jessy_build.engine.ledger import Artifact
    from jessy_build.steps import here, training

    facts = {"machine": {"cpu": "another one (64 cores)"}, "tokens_per_second": 1e6}
    far = Artifact("k", "train", "train", {}, facts, 1.0, 0.0, {})
    near = Artifact("k", "train", "train", {}, {"machine": {"cpu": here.cpu()}}, 1.0, 0.0, {})
    assert training.of_this_machine([far, near]) == [near]


def test_a_training_on_two_processes_is_told_by_plan_result_and_report(project: Project) -> None:
    alone, two = of_train(project), of_train(project, JESSY_TRAIN_DISTRIBUTED="2")
    for name in ("weights", "process"):
        assert two["training"]["parts"][name] == 2 * alone["training"]["parts"][name]
    done = project.run("build", "recipe.yaml", JESSY_TRAIN_DISTRIBUTED="2")
    assert done.code == 0, done.out + done.err
    assert re.search(r"✓ train .* steps on 2 processes, validation loss", done.out), done.out
    page = next((project.root / "builds").rglob("report.html")).read_text(encoding="utf-8")
    assert "<dt>trained by</dt><dd>2 processes</dd>" in page
    assert not project.run("build", "recipe.yaml").ran, "where it trains is no part of its key"
    project.edit("epochs: 2", "epochs: 8")
    assert of_train(project)["training"]["basis"] != "the last training on this base"
    again = of_train(project, JESSY_TRAIN_DISTRIBUTED="2")["training"]
    assert again["basis"] == "the last training on this base"


def test_hosts_that_are_none_are_refused_by_a_plan(project: Project) -> None:
    done = project.run("plan", "recipe.yaml", JESSY_TRAIN_DISTRIBUTED="127.0.0.1,-x")
    assert done.code == 2
    assert "JESSY_TRAIN_DISTRIBUTED is '127.0.0.1,-x', and '-x' is neither a host nor" in done.err

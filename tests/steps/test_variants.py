"""A matrix builds each combination, makes what they share once, and compares them at the end."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.steps import published
from tests.steps.project import RECIPE, Project, Ran

MATRIX = """\
matrix:
  train.lora.rank: [2, 4]
  train.optimizer.learning_rate: [1e-3, 3e-4]
"""
LABELS = ["rank2-lr0.001", "rank2-lr0.0003", "rank4-lr0.001", "rank4-lr0.0003"]
DATA = ("fetch", "convert", "generate:smalltalk", "validate", "assemble", "tokens")
MADE_EACH = ("train", "fuse", "gguf", "parity", "evaluate", "deploy", "report")


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    project = Project.make(tmp_path / "p", tiny_model)
    project.write(RECIPE + MATRIX)
    return project


def events(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def compared(ran: Ran) -> list[dict[str, Any]]:
    last = published.read(ran.out.splitlines()[-1], "compared")
    assert last["event"] == "builds_compared"
    return list(last["builds"])


def test_data_is_made_once_and_each_combination_is_trained(project: Project) -> None:
    done = project.run("build", "recipe.yaml", "--json", OLLAMA_HOST="127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    ran = Counter(e["step"] for e in events(done) if e["event"] == "step_finished")
    assert ran == dict.fromkeys(DATA, 1) | dict.fromkeys(MADE_EACH, 4)
    builds = compared(done)
    assert [build["label"] for build in builds] == LABELS
    assert [(b["status"], b["ran"], b["cached"]) for b in builds] == [
        ("done", 13, 0),
        *[("done", 7, 6)] * 3,
    ]
    for build in builds:
        assert build["version"] == f"v1-{build['label']}"
        assert build["folder"] == f"builds/tiny/{build['version']}"
        assert build["rows"] == 24 and build["valid_loss"] > 0 and build["answer_tokens"] > 0
        model = project.root / build["folder"] / "model.gguf"
        assert model.stat().st_size == build["bytes"]
    assert len({build["valid_loss"] for build in builds}) == 4

    again = project.run("build", "recipe.yaml", OLLAMA_HOST="127.0.0.1:9")
    assert again.code == 0 and again.ran == []
    assert again.out.count("Nothing to do: 13 steps cached") == 4
    table = again.out[again.out.index("validation loss") - 40 :]
    assert re.search(r"rank4-lr0\.001 +done +24 +\d\.\d{3} +\d", table)

    best = min(builds, key=lambda build: build["valid_loss"])["label"]
    assert f"chat recipe.yaml --variant {best}" in again.out
    said = project.run("chat", "recipe.yaml", "--variant", best, "--prompt", "hi")
    assert said.code == 0, said.err
    status = project.run("plan", "recipe.yaml", "--exit-code", OLLAMA_HOST="127.0.0.1:9")
    assert status.code == 0 and status.out.count("Nothing to do: all 13 steps are cached.") == 4


def test_a_plan_shows_each_build_under_its_label_and_what_they_share(project: Project) -> None:
    plan = project.run("plan", "recipe.yaml", "--exit-code")
    assert plan.code == 10, plan.out + plan.err
    heads = re.findall(r"^Plan for tiny (\S+) \(recipe.yaml (\S+)\)$", plan.out, re.MULTILINE)
    assert heads == [(f"v1-{label}", label) for label in LABELS]
    assert plan.out.endswith(
        "4 builds, one after another\nmade once for all of them: "
        "fetch, convert, generate:smalltalk, validate, assemble, tokens\n"
    )
    document = published.read(project.run("plan", "recipe.yaml", "--json").out, "plans")
    assert document["recipe"] == "recipe.yaml"
    assert list(document["builds"]) == LABELS
    assert all(len(build["steps"]) == 13 for build in document["builds"].values())


def test_a_combination_that_fails_stops_no_other(project: Project) -> None:
    project.edit("  train.lora.rank: [2, 4]\n", "  complexity.low.words: [[5, 9], [1, 40]]\n")
    project.edit("  train.optimizer.learning_rate: [1e-3, 3e-4]\n", "  dataset.seed: [1, 2]\n")
    project.edit("train:\n", "complexity: {low: {iterations: [1, 2], words: [1, 9], seconds: 5}}\n"
                             "train:\n")  # fmt: skip
    words = ("build", "recipe.yaml", "--until", "assemble")
    done = project.run(*words, "--json")
    # Each answer of the rows has four words: fewer than five.
    assert done.code == 1, done.out + done.err
    builds = compared(done)
    assert [build["status"] for build in builds] == ["failed", "failed", "done", "done"]
    assert [build["rows"] for build in builds] == [None, None, 24, 24]
    shown = project.run(*words)
    assert shown.code == 1 and "24 of 24 rows break the rules" in shown.err
    assert re.search(r"words-5-9-seed1 +failed +- ", shown.out)


def test_one_build_of_a_matrix_can_be_named(project: Project) -> None:
    words = ("build", "recipe.yaml", "--until", "assemble")
    done = project.run(*words, "--variant", "rank4-lr0.001")
    assert done.code == 0 and len(done.ran) == 3
    assert [p.name for p in (project.root / "builds/tiny").iterdir()] == ["v1-rank4-lr0.001"]
    unknown = project.run(*words, "--variant", "rank4-lr0.01")
    assert unknown.code == 2 and "did you mean 'rank4-lr0.001'?" in unknown.err
    several = project.run("report", "recipe.yaml")
    assert several.code == 2 and "--variant LABEL: rank2-lr0.001, rank2" in several.err
    project.write(RECIPE)
    assert "it has no `matrix`" in project.run(*words, "--variant", "rank4-lr0.001").err


def test_every_problem_of_every_combination_is_told_before_anything_runs(project: Project) -> None:
    project.edit("train.lora.rank: [2, 4]", "categories.smalltalk.count: [20, 99]")
    rates = "train.optimizer.learning_rate: [1e-3, 3e-4]"
    project.edit(rates, "modelfile.requires: [soon, 0.14.0]")
    for command in ("check", "plan", "build"):
        done = project.run(command, "recipe.yaml")
        assert done.code == 2 and done.ran == [], done.out
        assert "recipe.yaml:22:36: error[R217]: the files of 'curated' hold 24 rows" in done.err
        assert "in the matrix only with count99-requires-soon, count99-requires-0.14.0" in done.err
        assert "recipe.yaml:23:24: error[R261]: 'soon' is no version of Ollama" in done.err
        assert done.err.count("error[") == 2


def test_check_says_how_many_builds_there_are(project: Project) -> None:
    done = project.run("check", "recipe.yaml")
    assert done.code == 0 and "no problems (4 builds, 1 category, 24 curated rows)" in done.out


def test_a_value_may_bring_what_the_recipe_around_it_lacks(project: Project) -> None:
    project.write(RECIPE.replace('base: {model: "path:base"}\n', "") + "matrix:\n"
                  '  base.model: ["path:base"]\n')  # fmt: skip
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0, done.err
    assert (project.root / "builds/tiny/v1-model-path-base/dataset/train.jsonl").exists()


def test_a_smaller_try_lies_beside_the_real_build_and_leaves_it_alone(project: Project) -> None:
    project.write(RECIPE)
    words = ("build", "recipe.yaml", "--until", "assemble")
    assert project.run(*words).code == 0
    real = (project.root / "builds/tiny/v1/dataset/train.jsonl").read_bytes()
    plan = project.run("plan", "recipe.yaml", "--scale", "0.25", "--until", "assemble")
    assert plan.out.splitlines()[0] == "Plan for tiny v1-25pct (recipe.yaml at 25 %)"
    tried = project.run(*words, "--scale", "0.25")
    assert tried.code == 0 and tried.ran == ["generate:smalltalk", "validate", "assemble"]
    small = project.root / "builds/tiny/v1-25pct/dataset"
    rows = [line for file in small.iterdir() for line in file.read_text().splitlines()]
    assert len(rows) == 6
    assert (project.root / "builds/tiny/v1/dataset/train.jsonl").read_bytes() == real
    assert project.run(*words).ran == [] and project.run(*words, "--scale", "25%").ran == []


def test_a_smaller_try_takes_part_in_a_matrix_and_in_a_saved_plan(project: Project) -> None:
    named = ("recipe.yaml", "--variant", "rank4-lr0.001", "--scale", "1/4", "--until", "assemble")
    saved = project.run("plan", *named, "-o", "small.plan")
    assert saved.code == 0, saved.err
    done = project.run("build", "--plan", "small.plan")
    assert done.code == 0, done.err
    assert (project.root / "builds/tiny/v1-rank4-lr0.001-25pct/dataset").is_dir()
    refused = project.run("plan", "recipe.yaml", "-o", "all.plan")
    assert refused.code == 2 and "--variant LABEL" in refused.err


@pytest.mark.parametrize("share", ["0", "2", "half"])
def test_a_share_that_is_none_is_refused(project: Project, share: str) -> None:
    done = project.run("plan", "recipe.yaml", "--scale", share)
    assert done.code == 2 and "is no share from 0 to 1, as 0.25" in done.err

"""jessy history: what each version took, how good it came out, and which one Ollama serves."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import messages_api
from tests.loopback.ollama_models import ModelServer
from tests.steps import asked, published
from tests.steps.asked import Teacher
from tests.steps.project import Project

NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def built(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, server: ModelServer
) -> Project:
    """v1, v2, a build with nothing to do, and one of which only the data is made."""
    root = tmp_path_factory.mktemp("history") / "p"
    project = Project.make(root, tiny_model, OLLAMA_HOST=server.url)
    project.edit("epochs: 2", "steps: 2")
    assert project.run("build", "recipe.yaml").code == 0
    project.edit("version: v1", "version: v2")
    project.edit("temperature: 0.2", "temperature: 0.5")
    assert project.run("build", "recipe.yaml").code == 0
    assert project.run("build", "recipe.yaml", "--set", "version=v2").code == 0
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p", built.env)


def history(project: Project, *words: str, **env: str) -> dict[str, Any]:
    done = project.run("history", *(words or ("tiny",)), "--json", **env)
    assert done.code == 0, done.out + done.err
    return published.read(done.out, "history")


def test_each_version_has_its_steps_its_time_and_its_metrics(built: Project) -> None:
    v2, v1 = history(built)["versions"]
    assert [v["version"] for v in (v2, v1)] == ["v2", "v1"]
    assert (v1["ran"], v1["cached"]) == (13, 0)
    assert (v2["ran"], v2["cached"]) == (2, 11)
    assert v1["digest"] != v2["digest"] and len(v1["digest"]) == 64
    assert v1["seconds"] > v2["seconds"] > 0
    assert v1["loss"] == v2["loss"] > 0
    assert v2["answer_tokens"] > 0 and v2["answer_seconds"] > 0
    assert v1["spent"]["requests"] == 0


def test_the_one_that_ollama_has_as_latest_is_live(built: Project, server: ModelServer) -> None:
    v2, v1 = history(built)["versions"]
    assert (v1["served"], v1["live"]) == (True, False)
    assert (v2["served"], v2["live"]) == (True, True)
    text = built.run("history", "tiny").out
    assert re.search(r"^live +v2 +2 ", text, re.M) and re.search(r"^served +v1 +1 ", text, re.M)
    before = dict(server.models)
    try:
        server.models["tiny:latest"] = server.models["tiny:v1"]
        assert [v["live"] for v in history(built)["versions"]] == [False, True]
        server.models.clear()
        assert "serves none of them" in built.run("history", "tiny").out
    finally:
        server.models.update(before)


def test_without_an_answer_it_says_that_nobody_knows_which_is_live(built: Project) -> None:
    done = built.run("history", "tiny", OLLAMA_HOST=NOBODY)
    assert done.code == 0
    assert "No Ollama answers at http://127.0.0.1:9: which one is live is not known." in done.out
    assert history(built, OLLAMA_HOST=NOBODY)["live"] == "nobody answers"


def test_a_build_with_nothing_to_do_is_left_out_unless_asked_for(built: Project) -> None:
    assert history(built)["left_out"] == 1
    assert "1 more build made nothing new" in built.run("history", "tiny").out
    every = history(built, "tiny", "--all")
    assert [v["status"] for v in every["versions"]] == ["nothing to do", "done", "done"]
    # The newest that found the model there is the one that is live.
    assert [v["live"] for v in every["versions"]] == [True, False, False]


@pytest.mark.parametrize("name", ["tiny", "recipe.yaml", "tiny:v1"])
def test_a_model_is_known_by_its_name_its_recipe_and_its_tag(built: Project, name: str) -> None:
    versions = history(built, name)["versions"]
    assert [v["version"] for v in versions] == (["v1"] if name == "tiny:v1" else ["v2", "v1"])


def test_metrics_outlive_the_artifacts(project: Project) -> None:
    before = history(project)["versions"]
    project.edit("rank: 4", "rank: 2")
    assert project.run("build", "recipe.yaml").code == 0
    (project.root / "recipe.lock.yaml").unlink()
    project.env = {**project.env, "OLLAMA_HOST": NOBODY}
    assert project.run("gc", "--keep-last", "1").code == 0
    after = [{**v, "served": None, "live": None} for v in history(project)["versions"][1:]]
    assert after == [{**v, "served": None, "live": None} for v in before]


def test_cost_is_what_the_build_itself_asked_by_the_prices_of_its_recipe(
    tiny_model: Path, tmp_path: Path
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 500}
    example = json.dumps({"user": "hi {n}?", "assistant": "hello"})
    replies = (messages_api.said(example.replace("{n}", str(n)), **usage) for n in range(90))
    with Teacher(0.0, *replies) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        prices = "concurrency: 4, prices: {input: 1.0, output: 4.0, as_of: 2026-11-01}}"
        project.edit("concurrency: 4}", prices)
        until = ("build", "recipe.yaml", "--until", "assemble")
        assert project.run(*until).code == 0
        (project.root / "deep.j2").write_text("Something deeper, number {{ ordinal }}.")
        assert project.run(*until).code == 0
    second, first = history(project, "asked")["versions"]
    assert first["spent"] == {
        "requests": asked.ITEMS,
        "input_tokens": 1000 * asked.ITEMS,
        "output_tokens": 500 * asked.ITEMS,
        "dollars": pytest.approx(asked.ITEMS * 0.003),
    }
    assert second["spent"]["requests"] == 16
    assert second["spent"]["dollars"] == pytest.approx(0.048)
    assert re.search(r"\$0\.12", project.run("history", "asked").out)


def test_without_prices_dollars_are_not_made_up(tiny_model: Path, tmp_path: Path) -> None:
    with Teacher() as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        assert project.run("build", "recipe.yaml", "--until", "assemble").code == 0
    (only,) = history(project, "asked")["versions"]
    assert only["spent"]["dollars"] is None and only["spent"]["requests"] == asked.ITEMS
    assert f"{asked.ITEMS} requests" in project.run("history", "asked").out


def test_an_unknown_name_says_what_there_is(built: Project) -> None:
    done = built.run("history", "tinny")
    assert done.code == 1 and "did you mean 'tiny'?" in done.err

"""Builds whose rows come from a model in the same process: nothing is paid, nothing asked twice."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("llguidance")

from jessy_build.chat import BUILTIN
from jessy_build.packaging import gguf_read
from tests.bases import hub_server
from tests.conftest import RealBases
from tests.steps import published
from tests.steps.project import SIGKILL, Project

ASSEMBLE = ("build", "recipe.yaml", "--until", "assemble")
ROWS = 12
CELL = "languages: {en: 1}, complexity: {low: 1}"
RECIPE = f"""\
recipe: 1
name: near
version: v1
base: {{model: "path:base"}}
teachers:
  here: {{kind: mlx, model: "path:teacher", max_tokens: 200, concurrency: 4}}
categories:
  talk: {{teacher: here, count: {ROWS}, prompt: ask.j2, {CELL}}}
dataset: {{validate: {{duplicates: false, words: false}}}}
"""


@pytest.fixture(scope="session")
def talkative(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, only readier to end a text: each token may well be a quotation mark."""
    import numpy as np
    from safetensors.numpy import load_file, save_file
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("talkative") / "teacher"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].copy()
    quote = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id('"')
    # All tokens share a direction, and the mark alone looks for it.
    weights["model.embed_tokens.weight"][:, 0] = 8
    head[:, 0] = 0
    head[quote] = np.eye(1, head.shape[1], dtype=head.dtype) * 0.45
    weights["lm_head.weight"] = head
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return folder


@pytest.fixture
def project(tmp_path: Path, talkative: Path) -> Project:
    return made(tmp_path / "p", talkative)


def made(root: Path, talkative: Path) -> Project:
    root.mkdir()
    project = Project.asking(root, "http://127.0.0.1:9", RECIPE, ask="Number {{ ordinal }}.")
    shutil.copytree(talkative, root / "teacher")
    return project


def spent(project: Project) -> list[float]:
    """Requests of each build that asked, the newest first."""
    told = json.loads(project.run("status", "recipe.yaml", "--json").out)
    asked = [build["spent"]["requests"] for build in told["builds"]]
    return [requests for requests in asked if requests]


def rows(project: Project) -> list[dict[str, Any]]:
    folder = project.root / "builds/near/v1/dataset"
    lines = [line for f in sorted(folder.glob("*.jsonl")) for line in f.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_rows_come_from_a_model_in_this_process_and_are_asked_once(project: Project) -> None:
    done = project.run(*ASSEMBLE)
    assert done.code == 0, done.out + done.err
    assert len(rows(project)) == ROWS
    assert re.search(r"[1-9]\d* mended", done.out), "it must have been corrected on the way"
    before = spent(project)
    assert before[0] >= ROWS
    assert "Nothing to do" in project.run(*ASSEMBLE).out
    project.edit(f"count: {ROWS}", f"count: {ROWS + 2}")
    # Neither decides an answer.
    project.edit("concurrency: 4", "concurrency: 2, timeout: 77")
    assert project.run(*ASSEMBLE).code == 0
    after = spent(project)
    assert len(rows(project)) == ROWS + 2
    assert after[1:] == before and 2 <= after[0] < ROWS


def test_a_plan_names_the_weights_and_costs_nothing(project: Project) -> None:
    assert project.run(*ASSEMBLE).code == 0
    project.edit(f"count: {ROWS}", f"count: {ROWS + 2}")
    plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
    assert (plan["total"]["dollars"], plan["total"]["to_ask"]) == (0, 2)
    (asked,) = (s["estimate"] for s in plan["steps"] if s["step"] == "generate:talk")
    assert asked["output_tokens"] > 0 and asked["seconds"] > 0
    project.edit(f"count: {ROWS + 2}", f"count: {ROWS}")
    (project.root / "teacher/README.md").write_text("A model.")
    assert "Nothing to do" in project.run(*ASSEMBLE).out
    config = project.root / "teacher/generation_config.json"
    config.write_text(config.read_text() + "\n")
    told = project.run("plan", "recipe.yaml")
    assert "teachers.here.model (content): sha256" in told.out
    assert f"{ROWS} to ask" in told.out


def test_a_killed_build_goes_on_and_comes_out_as_if_nothing_had_been(
    tmp_path: Path, talkative: Path, project: Project
) -> None:
    killed = project.interrupt_when((*ASSEMBLE, "--json"), '"items"', SIGKILL, pause=0)
    assert killed.code == -SIGKILL
    there = spent(project)
    assert project.run(*ASSEMBLE).code == 0
    other = made(tmp_path / "other", talkative)
    assert other.run(*ASSEMBLE).code == 0
    assert rows(project) == rows(other)
    assert sum(there) >= 1 and sum(spent(project)) == sum(spent(other))


def test_weights_of_a_hub_are_fetched_once_and_then_need_no_network(
    tmp_path: Path, talkative: Path
) -> None:
    project = made(tmp_path / "p", talkative)
    project.edit('"path:teacher"', f'"hf:{hub_server.REPO}", revision: {hub_server.COMMIT}')
    refused = project.run(*ASSEMBLE, JESSY_OFFLINE="1")
    assert refused.code == 1 and "JESSY_OFFLINE" in refused.err
    assert "Traceback" not in refused.err
    with hub_server.serve(talkative) as hub:
        done = project.run(*ASSEMBLE, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1")
        assert done.code == 0, done.out + done.err
        assert hub.downloads("model.safetensors") == 1
    assert len(rows(project)) == ROWS
    project.edit(f"count: {ROWS}", f"count: {ROWS + 1}")
    assert project.run(*ASSEMBLE, JESSY_OFFLINE="1").code == 0


def test_gc_takes_fetched_weights_that_no_kept_build_asks(tmp_path: Path, talkative: Path) -> None:
    project = made(tmp_path / "p", talkative)
    near = '"path:teacher"'
    far = f'"hf:{hub_server.REPO}", revision: {hub_server.COMMIT}'
    with hub_server.serve(talkative) as hub:
        project.edit(near, far)
        assert project.run(*ASSEMBLE, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1").code == 0
        (weights,) = (project.root / ".jessy/models").iterdir()
        project.edit(far, near)
        assert project.run(*ASSEMBLE).code == 0
        kept = project.run("gc", "--keep-last", "2")
        assert kept.code == 0 and "models of teachers" not in kept.out
        dry = project.run("gc", "--keep-last", "1", "--dry-run")
        assert re.search(r"models of teachers +1 +fetched again where they are needed", dry.out)
        size = (weights / "model/model.safetensors").stat().st_size
        gone = published.read(project.run("gc", "--keep-last", "1", "--json").out, "gc")
        assert gone["weights"] == 1 and gone["bytes"] > size
        assert not weights.exists()
        project.edit(near, far)
        project.edit(f"count: {ROWS}", f"count: {ROWS + 1}")
        assert project.run(*ASSEMBLE, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1").code == 0
        assert hub.downloads("model.safetensors") == 2


def test_a_preview_asks_it_too_one_category_after_the_other(project: Project) -> None:
    line = next(line for line in RECIPE.splitlines() if "talk:" in line)
    project.edit(line, f"{line}\n{line.replace('talk', 'more')}")
    done = project.run("preview", "recipe.yaml", "-n", "2", "--ask")
    assert done.code == 0, done.out + done.err
    assert done.out.count("→ usable") == 4, done.out


def test_a_python_without_the_packages_plans_and_says_what_to_install(
    tmp_path: Path, project: Project
) -> None:
    blocked = tmp_path / "blocked" / "sitecustomize.py"
    blocked.parent.mkdir()
    blocked.write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'llguidance' else real(n, *a)\n"
    )
    path = f"{blocked.parent}:{project.environment()['PYTHONPATH']}"
    assert project.run("plan", "recipe.yaml", PYTHONPATH=path).code == 0
    done = project.run(*ASSEMBLE, PYTHONPATH=path)
    assert done.code == 1 and "'llguidance'" in done.err and "jessy-build[mlx]" in done.err


@pytest.mark.real
def test_a_real_model_gives_rows_of_the_wanted_shape_and_judges_them(
    tmp_path: Path, real_bases: RealBases
) -> None:
    """SmolLM2, held to the schema: it would never keep to it by itself."""
    ask = (
        "Ask a question about {{ topic.name }} that begins with {{ ['How', 'Why'][ordinal % 2] }},"
        " then answer it in one sentence."
    )
    project = Project.asking(tmp_path, "http://127.0.0.1:9", RECIPE, ask=ask)
    gguf_read.convert(real_bases.smollm2, tmp_path / "teacher", chat_template=BUILTIN["chatml"])
    project.edit(f"count: {ROWS}", "count: 4, topics: {tea: 2, rain: 2}")
    rubric = "{sense: Makes sense., warmth: Is friendly.}"
    project.edit("words: false", f"words: false, judge: {{teacher: here, rubric: {rubric}}}")
    done = project.run(*ASSEMBLE)
    assert done.code == 0, done.out + done.err
    found = rows(project)
    assert len(found) == 4
    for row in found:
        said = [m["content"] for m in row["messages"]]
        assert len(said) == 2 and all(said)
    assert len({json.dumps(row["messages"]) for row in found}) == 4
    scores = [json.loads(project.run("show", row["id"], "--json").out)["judged"] for row in found]
    assert all(set(given["scores"]) == {"sense", "warmth"} for given in scores), scores

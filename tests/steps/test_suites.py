"""Suites: answers that are scored by rule, and the adapter that is kept by such a score."""

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.steps.project import SIGKILL, Project, Ran
from tests.steps.test_build import ALL

SUITE = """\
expect: {words: {max: 8}, language: same}
prompts:
  - {prompt: "hello number 90, how are you?", language: en, expect: {contains: [fine], ends: true}}
  - {prompt: "hello number 31, how are you?", language: en, expect: {any_of: [tea, thank*]}}
  - {prompt: "selam", language: tr, complexity: low, expect: {words: level, lacks: [thanks]}}
"""
ONE_MORE = '  - {prompt: "hello number 7, how are you?", language: en}\n'
KEPT = 3


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Project:
    project = Project.make(tmp_path_factory.mktemp("suites") / "p", tiny_model)
    # So much that the tiny model says something else at each look.
    project.edit("learning_rate: 1e-3", "learning_rate: 1e-2")
    project.edit("epochs: 2", "epochs: 4")
    project.edit("train:\n", f"train:\n  keep: {{suite: manner, among: {KEPT}}}\n  eval_every: 4\n")
    project.edit("  max_tokens: 6\n", "  max_tokens: 6\n  suites: [suites/manner.yaml]\n")
    write(project, SUITE)
    assert sorted(build(project).ran) == sorted([*ALL, "select", "score"])
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy, to be edited."""
    shutil.copytree(built.root, tmp_path / "p", symlinks=True)
    return Project(tmp_path / "p", built.env)


def write(project: Project, suite: str) -> None:
    (project.root / "suites").mkdir(exist_ok=True)
    (project.root / "suites/manner.yaml").write_text(suite, encoding="utf-8")


def build(project: Project, *words: str) -> Ran:
    done = project.run("build", "recipe.yaml", *words, OLLAMA_HOST="127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    return done


def plan(project: Project) -> str:
    return project.run("plan", "recipe.yaml").out


def ledger(project: Project, sql: str) -> list[tuple[Any, ...]]:
    file = project.root / ".jessy/ledger.sqlite"
    with sqlite3.connect(file) as db:
        return db.execute(sql).fetchall()


def answers(project: Project) -> int:
    return len(ledger(project, "select 1 from replies"))


def facts(project: Project, step: str) -> Mapping[str, Any]:
    sql = f"select facts from artifacts where step = '{step}' order by made_at desc"
    found: Mapping[str, Any] = json.loads(ledger(project, sql)[0][0])
    return found


def await_that(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_adapter_whose_answers_score_best_is_fused_and_served(built: Project) -> None:
    selected = facts(built, "select")
    candidates = selected["candidates"]
    assert len(candidates) == KEPT
    assert [one["step"] for one in candidates] == [
        one["step"] for one in facts(built, "train")["kept"]
    ]
    best = max(candidates, key=lambda one: (one["score"], -one["loss"]))
    assert selected["best"] == {"step": best["step"], "loss": best["loss"]}
    assert len({one["score"] for one in candidates}) > 1, "or nothing was chosen"
    # By hand: what is said and what is wrong with it.
    for one in candidates:
        first, second, third = (answer["text"] for answer in one["answers"])
        wrong = [answer["missed"] for answer in one["answers"]]
        assert any("contains" in line for line in wrong[0]) == ("fine" not in first.lower())
        assert any("any_of" in line for line in wrong[1]) == ("thank" not in second.lower())
        assert any("lacks" in line for line in wrong[2]) == ("thanks" in third.lower())
    folder = built.root / "builds/tiny/v1"
    assert sorted(file.name for file in (folder / "adapter").iterdir()) == [
        *("adapter_config.json", "adapters.safetensors")
    ]
    lock = yaml.safe_load((built.root / "recipe.lock.yaml").read_text())["steps"]
    assert lock["select"]["best_step"] == best["step"]
    assert lock["select"]["score"] == pytest.approx(best["score"], abs=1e-6)
    made = {path.name: path for path in (folder / "adapter").iterdir()}
    assert lock["select"]["adapter"]["bytes"] == made["adapters.safetensors"].stat().st_size
    assert f'<th scope="row">{best["step"]}</th>' in (folder / "report.html").read_text("utf-8")


def test_base_and_tuned_model_are_scored_as_they_are_served(built: Project) -> None:
    scored = facts(built, "score")["suites"]["manner"]
    assert scored["tuned"]["score"] > scored["base"]["score"]
    rows = scored["tuned"]["rows"]
    assert [len(row["missed"]) == 0 for row in rows].count(True) == scored["tuned"]["passed"]
    assert scored["tuned"]["score"] == pytest.approx(sum(row["score"] for row in rows) / len(rows))
    best = max(facts(built, "select")["candidates"], key=lambda one: (one["score"], -one["loss"]))
    # llama.cpp says of the file what MLX said of the adapter.
    assert [row["text"] for row in rows] == [answer["text"] for answer in best["answers"]]
    page = (built.root / "builds/tiny/v1/report.html").read_text("utf-8")
    assert f"<td>{scored['tuned']['score']:.2f}</td>" in page
    lock = yaml.safe_load((built.root / "recipe.lock.yaml").read_text())["steps"]
    assert lock["score"]["suites"]["manner"]["base"] == pytest.approx(
        scored["base"]["score"], abs=1e-6
    )


def test_another_rule_asks_nothing_and_trains_nothing(project: Project) -> None:
    before = answers(project)
    write(project, SUITE.replace("[tea, thank*]", "[tea, fine]"))
    told = plan(project)
    assert "any_of: [tea, thank*] → [tea, fine]   suites/manner.yaml:4" in told, told
    assert re.findall(r"^  run +(\S+)", told, re.MULTILINE) == ["select", "score", "report"]
    ran = build(project).ran
    assert {"select", "score"} <= set(ran) and not {"train", "evaluate"} & set(ran), ran
    assert answers(project) == before


def test_a_prompt_more_is_asked_of_each_kept_adapter_and_nothing_else(project: Project) -> None:
    before = answers(project)
    write(project, SUITE + ONE_MORE)
    ran = build(project, "--until", "select").ran
    assert ran == ["select"]
    assert answers(project) == before + KEPT


def test_a_suite_more_is_asked_of_base_and_tuned_model_and_nothing_else(project: Project) -> None:
    before = answers(project)
    other = "prompts:\n  - {prompt: hey, expect: {ends: true}}\n"
    project.edit("[suites/manner.yaml]", "[suites/manner.yaml, suites/other.yaml]")
    for number, more in enumerate(("", "  - {prompt: naber, expect: {ends: true}}\n"), start=1):
        (project.root / "suites/other.yaml").write_text(other + more, encoding="utf-8")
        assert build(project, "--until", "score").ran == ["evaluate", "score"]
        assert answers(project) == before + 2 * number
    scores = facts(project, "score")["suites"]
    assert list(scores) == ["manner", "other"] and scores["other"]["tuned"]["prompts"] == 2


def test_a_kill_loses_no_answer_that_was_given(project: Project) -> None:
    before = answers(project)
    write(project, SUITE + "".join(ONE_MORE.replace("7", str(n)) for n in range(100, 200)))
    process = project.begin("build", "recipe.yaml", "--until", "select")
    try:
        await_that(lambda: answers(project) > before + 5)
    finally:
        os.kill(process.pid, SIGKILL)
        process.wait(timeout=60)
    kept = dict(ledger(project, "select stem, made_at from replies"))
    assert before + 5 < len(kept) < before + 100 * KEPT, "it was killed on its way"
    assert build(project, "--until", "select").ran == ["select"]
    now = dict(ledger(project, "select stem, made_at from replies"))
    assert len(now) == before + 100 * KEPT
    assert kept.items() <= now.items(), "none was asked for again"


def test_by_the_loss_again_trains_again_and_chooses_nothing(project: Project) -> None:
    project.edit("{suite: manner, among: 3}", "best")
    ran = build(project, "--until", "fuse").ran
    assert "train" in ran and "select" not in ran
    losses = {one["step"]: one["loss"] for one in facts(project, "train")["validation"]}
    best = facts(project, "train")["best"]
    assert best["loss"] == min(loss for step, loss in losses.items() if step)


def test_a_suite_alone_is_enough_to_evaluate(project: Project) -> None:
    project.edit("  prompts: [hello, selam]\n", "")
    done = build(project)
    assert {"evaluate", "score", "report"} <= set(done.ran) and "train" not in done.ran
    assert (project.root / "builds/tiny/v1/report.html").is_file()

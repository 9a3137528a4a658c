"""A build whose rows come through OpenAI's API: kept, paid once, and the key is nowhere."""

import json
from pathlib import Path

import pytest

from tests.loopback import openai_api as api
from tests.loopback.server import Loopback
from tests.steps.project import Project, Ran

KEY = "sk-proj-test-0123456789abcdefghij"
ASSEMBLE = ("build", "recipe.yaml", "--until", "assemble")
RECIPE = """\
recipe: 1
name: asked
version: v1
base: {model: "path:base"}
teachers:
  far:
    kind: openai
    model: smollm2
    concurrency: 4
    prices: {input: 1.0, output: 10.0, cached_input: 0.1, as_of: 2026-11-01}
categories:
  talk: {teacher: far, count: 12, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    ask = "Something, number {{ ordinal }}."
    return Project.asking(tmp_path, "http://127.0.0.1:9", RECIPE, ask=ask)


def build(project: Project, server: Loopback, *words: str) -> Ran:
    env = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY}
    done = project.run(*(words or ASSEMBLE), **env)
    assert KEY not in done.out + done.err
    return done


def holding(root: Path, text: str) -> list[str]:
    """The files that hold it, the ledger, its journal and the lock file among them."""
    return [str(f) for f in root.rglob("*") if f.is_file() and text.encode() in f.read_bytes()]


def test_each_answer_is_asked_once_whatever_server_gives_it(project: Project) -> None:
    with api.OpenAIServer() as server, api.OpenAIServer() as other:
        assert build(project, server).code == 0
        project.edit("    model: smollm2\n", f"    model: smollm2\n    base_url: {other.url}/v1\n")
        assert build(project, server).code == 0
        assert (server.count, other.count) == (12, 0)
        project.edit("count: 12", "count: 15")
        assert build(project, server).code == 0
    assert (server.count, other.count) == (12, 3)
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    assert not any("authorization" in seen.headers for seen in other.seen)


def test_the_key_is_in_no_file_that_a_build_leaves(project: Project) -> None:
    with api.OpenAIServer(api.rate_limited(), api.failed(503)) as server:
        assert build(project, server).code == 0
    assert holding(project.root, "Something, number 3."), "the ledger is among the files looked at"
    assert list(project.root.rglob("*.lock.yaml"))
    assert holding(project.root, KEY) == []


def test_the_key_is_in_no_file_of_a_build_that_failed(project: Project) -> None:
    with api.OpenAIServer(*[api.error(403, f"no {KEY} here")] * 9) as server:
        done = build(project, server)
    assert done.code == 1 and "no [key] here" in done.err
    assert holding(project.root, KEY) == []


def test_what_answers_cost_is_told_by_the_prices_of_the_recipe(project: Project) -> None:
    usage = {
        "prompt_tokens": 1_000_000,
        "prompt_tokens_details": {"cached_tokens": 500_000},
        "completion_tokens": 100_000,
        "completion_tokens_details": {"reasoning_tokens": 40_000},
    }
    text = json.dumps({"user": "a", "assistant": "b"})
    with api.OpenAIServer(*[api.said(text, usage=usage)] * 12) as server:
        assert build(project, server).code == 0
        told = json.loads(build(project, server, "status", "recipe.yaml", "--json").out)
    # Half a dollar for what was new, 5 cents for what was cached, a dollar for the answer.
    (spent,) = (build["spent"] for build in told["builds"])
    assert (spent["requests"], spent["dollars"]) == (12, 18.6)


def test_a_server_of_this_machine_costs_nothing_and_needs_no_key(project: Project) -> None:
    with api.OpenAIServer() as server:
        start, end = RECIPE.index("    prices"), RECIPE.index("categories")
        project.write(RECIPE[:start] + f"    base_url: {server.url}/v1\n" + RECIPE[end:])
        checked = project.run("check", "recipe.yaml")
        assert checked.code == 0 and "R225" not in checked.out + checked.err
        assert project.run(*ASSEMBLE).code == 0
        project.edit("count: 12", "count: 20")
        plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
    assert plan["total"]["dollars"] == 0


def test_a_server_elsewhere_without_prices_is_pointed_at(project: Project) -> None:
    start, end = RECIPE.index("    prices"), RECIPE.index("categories")
    project.write(RECIPE[:start] + RECIPE[end:])
    checked = project.run("check", "recipe.yaml")
    assert "R225" in checked.out + checked.err
    assert "base_url" in checked.out + checked.err

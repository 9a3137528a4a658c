"""A long system text is paid for once in full, and what that costs is told to the cent."""

import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build.steps import prices
from jessy_build.teachers import anthropic
from tests.loopback import messages_api
from tests.loopback.server import Seen, Status, Step
from tests.steps.project import Project

SYSTEM = ("You are JESSY. " * 600).strip()
TOKENS = len(SYSTEM) // 4
RECIPE = """\
recipe: 1
name: cached
version: v1
base: {model: "path:base"}
persona: {name: JESSY, system: system.j2}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    max_tokens: 100
    concurrency: 8
    prices: {input: 100, output: 500, cached_input: 10, as_of: 2026-11-01}
categories:
  talk: {teacher: claude, count: 12, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


def make(root: Path, server: messages_api.MessagesServer, recipe: str = RECIPE) -> Project:
    ask = "Write line {{ ordinal }}."
    return Project.asking(root, server.url, recipe, ask=ask, system=SYSTEM)


def said(project: Project, *words: str) -> Any:
    return json.loads(project.run(*words, "--json").out)


@pytest.fixture
def cost() -> float:
    """One that writes, eleven that read; the loopback server bills 11 and 7 more for each."""
    return (TOKENS * 125 + 11 * TOKENS * 10 + 12 * (11 * 100 + 7 * 500)) / 1e6


def test_the_text_is_written_to_the_cache_once_and_each_kind_of_token_has_its_price(
    tmp_path: Path, cost: float
) -> None:
    with messages_api.CachingServer(seconds=0.05) as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
    (build,) = said(project, "history", "cached")["versions"]
    assert build["spent"]["dollars"] == pytest.approx(cost, abs=1e-6)
    assert build["spent"]["input_tokens"] == 12 * (TOKENS + 11)
    lock = (project.root / "recipe.lock.yaml").read_text("utf-8")
    assert f"cache_write: {TOKENS}" in lock and f"cached_input: {11 * TOKENS}" in lock
    assert f"usd: {cost:.6f}".rstrip("0") in lock


def test_the_next_plan_expects_what_the_last_build_paid(tmp_path: Path, cost: float) -> None:
    with messages_api.CachingServer(seconds=0.05) as server:
        project = make(tmp_path, server)
        assert project.run(*UNTIL).code == 0
    project.edit("count: 12", "count: 24")
    plan = said(project, "plan", "recipe.yaml")
    estimate = next(e for e in plan["steps"] if e["step"] == "generate:talk")["estimate"]
    assert estimate["dollars"] == pytest.approx(cost)
    assert estimate["input_tokens"] == pytest.approx(12 * (TOKENS + 11))


class Writing(messages_api.MessagesServer):
    """Writes every text to a cache and never reads one: each byte a token, all of the answer."""

    billed = 0.0

    def usual(self, seen: Seen) -> Step:
        usual = super().usual(seen)
        assert isinstance(usual, Status)
        usage = usual.body["usage"]
        usage["cache_creation_input_tokens"] = len(json.dumps(seen.body).encode()) + 900
        usage["input_tokens"], usage["output_tokens"] = 0, seen.body["max_tokens"]
        self.billed += (usage["cache_creation_input_tokens"] * 125 + 100 * 500) / 1e6
        return usual


def test_no_bill_passes_the_cap_when_all_is_written_and_nothing_read(tmp_path: Path) -> None:
    with Writing() as server:
        project = make(tmp_path, server)
        most = said(project, "plan", "recipe.yaml")
        (estimate,) = (e["estimate"] for e in most["steps"] if e["step"] == "generate:talk")
        done = project.run(*UNTIL, "--max-usd", "5")
        assert done.code == 5, done.out + done.err
        assert 0 < server.billed <= 5
        one = server.billed / server.count
        assert server.billed + 1.2 * one > 5, "what could be asked was asked"
        assert 12 * one < estimate["dollars_at_most"]


def test_a_price_of_ones_own_wins_and_short_texts_are_bounded_as_plain_input() -> None:
    table: dict[str, Any] = {"input": 1.0, "output": 5.0, "as_of": "2026-11-01"}

    def of(**more: float) -> Any:
        return prices.of(
            anthropic.Config.model_validate_json(
                json.dumps({"kind": "anthropic", "model": "m", "prices": {**table, **more}})
            )
        )

    assert of()["cache_write"] == 1.25 and of(cache_write=2.0)["cache_write"] == 2.0
    assert prices.of_usage(of(cache_write=2.0), {"cache_write_tokens": 500_000}) == 1.0
    config = anthropic.Config(kind="anthropic", model="m", max_tokens=1)
    long = anthropic.request(config, prompt="a", system="x" * 2000)
    short = anthropic.request(config, prompt="a", system="x" * 20)
    for request, ratio in ((long, 1.25), (short, 1)):
        read = prices.at_most(of(), request) - 5 / 1e6
        plain = prices.at_most({**of(), "cache_write": 1.0}, request) - 5 / 1e6
        assert read / plain == pytest.approx(ratio)

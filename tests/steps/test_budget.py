"""A budget is hard: what a server bills never passes it, and what was answered is kept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import messages_api
from tests.loopback.server import Seen, Slow, Status, Step
from tests.steps.project import Project, Ran

ROWS = 16
RECIPE = """\
recipe: 1
name: capped
version: v1
base: {model: "path:base"}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    max_tokens: 100
    concurrency: 8
    prices: {input: 1000, output: 5000, as_of: 2026-11-01}
budget: {max_usd: 9}
categories:
  talk: {teacher: claude, count: 8, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
  deep: {teacher: claude, count: 8, prompt: deep.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


class Billing(messages_api.MessagesServer):
    """Bills for each answer as much as it can: every byte a token, and all of `max_tokens`."""

    def __init__(self, *script: Step, cheap: bool = False) -> None:
        super().__init__(*script)
        self.cheap = cheap
        self.billed = 0.0

    def usual(self, seen: Seen) -> Step:
        usual = super().usual(seen)
        assert isinstance(usual, Status)
        usage = usual.body["usage"]
        if not self.cheap:
            usage["input_tokens"] = len(json.dumps(seen.body, ensure_ascii=False).encode()) + 900
            usage["output_tokens"] = seen.body["max_tokens"]
        self.billed += (usage["input_tokens"] * 1000 + usage["output_tokens"] * 5000) / 1e6
        return Slow(0.05, usual)


def make(root: Path, server: messages_api.MessagesServer) -> Project:
    return Project.asking(
        root,
        server.url,
        RECIPE,
        ask="A line about {{ topic.name }}, number {{ ordinal }}.",
        deep="Something deep, number {{ ordinal }}.",
    )


def table(done: Ran) -> dict[str, tuple[int, int]]:
    """By category: rows that are there, and rows that are missing."""
    found = re.findall(r"^(talk|deep) +(\d+)/8 . +\d+ % +(\d+|-) +claude", done.out, re.MULTILINE)
    return {name: (int(there), int(lack.replace("-", "0"))) for name, there, lack in found}


def lines_of(done: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_the_bill_never_passes_the_cap_whoever_asks_at_once(tmp_path: Path) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
        assert done.code == 5, done.out + done.err
        assert 0 < server.billed <= 9
        asked = server.count
        # One more would have passed it: nothing was left unused that could have been asked.
        assert server.billed + 3 > 9
        there = table(done)
        assert sum(rows for rows, _ in there.values()) == asked
        assert all(rows + lack == 8 for rows, lack in there.values())
        assert "the budget is reached" in done.err and "--max-usd" in done.err
        assert "Traceback" not in done.out + done.err


def test_the_next_build_asks_only_for_what_is_missing_and_its_budget_is_its_own(
    tmp_path: Path,
) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        first = project.run(*UNTIL)
        asked = server.count
        assert first.code == 5 and asked < ROWS
        rest = project.run(*UNTIL, "--max-usd", "100")
        assert rest.code == 0, rest.out + rest.err
        assert server.count == ROWS
        # All is answered: a build that pays nothing needs no money.
        assert project.run(*UNTIL, "--max-usd", "0.01").code == 0
        assert server.count == ROWS


def test_what_a_request_really_cost_makes_room_for_the_next(tmp_path: Path) -> None:
    """16 answers cost $0.74; all of them together could have cost far more than the cap."""
    with Billing(cheap=True) as server:
        project = make(tmp_path, server)
        project.edit("max_usd: 9", "max_usd: 3")
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
        assert server.count == ROWS and server.billed <= 3


def test_nothing_is_sent_when_the_first_request_could_pass_the_cap(tmp_path: Path) -> None:
    with Billing() as server:
        done = make(tmp_path, server).run(*UNTIL, "--max-usd", "1")
        assert (done.code, server.count) == (5, 0)
        assert table(done) == {"talk": (0, 8), "deep": (0, 8)}


def test_what_was_spent_is_told_afterwards(tmp_path: Path) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL, "--json")
        assert done.code == 5
        stopped = lines_of(done)[-1]
        assert stopped["event"] == "budget_reached" and stopped["max_usd"] == 9
        assert stopped["spent_usd"] == pytest.approx(server.billed)
        assert {c["category"] for c in stopped["categories"]} == {"talk", "deep"}
        status = json.loads(project.run("status", "recipe.yaml", "--json").out)
        assert status["spent"]["dollars"] == pytest.approx(server.billed)


def test_a_budget_changes_no_key(tmp_path: Path) -> None:
    with Billing(cheap=True) as server:
        project = make(tmp_path, server)
        project.edit("budget: {max_usd: 9}\n", "")
        assert project.run(*UNTIL).code == 0
        for line in ("budget: {max_usd: 9}\n", "budget: {max_usd: 0.5}\n"):
            project.write(RECIPE.replace("budget: {max_usd: 9}\n", line))
            plan = project.run("plan", "recipe.yaml", "--until", "assemble")
            assert "Nothing to do" in plan.out and "budget" not in plan.out
        assert server.count == ROWS


def test_a_free_teacher_needs_no_prices_and_no_money(tmp_path: Path) -> None:
    from tests.loopback.ollama_api import OllamaServer

    with OllamaServer() as server:
        project = make(tmp_path, messages_api.MessagesServer())
        project.env = {**project.env, "OLLAMA_HOST": server.url}
        text = RECIPE[: RECIPE.index("  claude:")] + "  claude: {kind: ollama, model: gemma3:4b}\n"
        project.write(text + RECIPE[RECIPE.index("budget:") :])
        assert project.run(*UNTIL, "--max-usd", "0.000001").code == 0
        assert server.count == ROWS


def test_the_plan_shows_the_cap_and_warns_when_the_estimate_passes_it(tmp_path: Path) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        plan = project.run("plan", "recipe.yaml").out
        assert "budget $9.00: the build stops there if answers cost the most" in plan
        project.edit("max_usd: 9", "max_usd: 900")
        plan = project.run("plan", "recipe.yaml").out
        assert "budget $900.00: enough for the most that it can cost" in plan
        assert project.run(*UNTIL).code == 0
        project.edit("max_usd: 900", "max_usd: 9")
        project.edit("count: 8, prompt: ask", "count: 80, prompt: ask")
        plan = project.run("plan", "recipe.yaml").out
        assert re.search(r"^warning: budget \$9\.00: the estimate passes it", plan, re.MULTILINE)
        document = json.loads(project.run("plan", "recipe.yaml", "--json").out)
        assert (document["max_usd"], document["passes_budget"]) == (9, "surely")


def test_a_cap_without_prices_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        project.edit("    prices: {input: 1000, output: 5000, as_of: 2026-11-01}\n", "")
        project.edit("budget: {max_usd: 9}\n", "")
        done = project.run(*UNTIL, "--max-usd", "5")
        assert (done.code, server.count) == (2, 0)
        assert "recipe.yaml:6:3: error[R225]: 'claude' has no prices" in done.err


@pytest.mark.parametrize("amount", ["0", "-1", "much", "nan", "inf"])
def test_a_cap_that_is_none_is_refused(tmp_path: Path, amount: str) -> None:
    with Billing() as server:
        done = make(tmp_path, server).run(*UNTIL, f"--max-usd={amount}")
        assert (done.code, server.count) == (2, 0)
        assert "no number of dollars" in done.err


def test_the_builds_of_a_matrix_share_one_budget(tmp_path: Path) -> None:
    with Billing() as server:
        project = make(tmp_path, server)
        project.write(RECIPE + "matrix: {teachers.claude.max_tokens: [90, 100]}\n")
        done = project.run(*UNTIL, "--max-usd", "12")
        assert done.code == 5, done.out + done.err
        assert 0 < server.billed <= 12
        assert done.out.count("budget reached") == 2

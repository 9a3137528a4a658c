"""One policy of tries for all teachers, and no more requests at once than a server bears."""

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from jessy_build.teachers.retry import TRIES, Fault
from tests.loopback import messages_api, ollama_api
from tests.loopback.server import Connection, Drop, Loopback, Seen, Slow, Status, Step
from tests.steps.project import Project, Ran

ROWS = 60
RECIPE = """\
recipe: 1
name: loaded
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 8, timeout: 30}
categories:
  talk: {teacher: claude, count: 60, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
LOCAL = RECIPE.replace(
    "kind: anthropic, model: claude-haiku-5-5, concurrency: 8",
    "kind: ollama, model: gemma3:4b, concurrency: 8",
)
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


def make(root: Path, server: Loopback, recipe: str = RECIPE) -> Project:
    project = Project.asking(root, server.url, recipe, ask="A line, number {{ ordinal }}.")
    project.env = {**project.env, "OLLAMA_HOST": server.url}
    return project


def build(root: Path, server: Loopback, recipe: str = RECIPE) -> Ran:
    return make(root, server, recipe).run(*UNTIL)


def one_row(recipe: str) -> str:
    return recipe.replace("count: 60", "count: 1")


LASTING: Mapping[str, tuple[Fault, Step]] = {
    "overload": ("busy", messages_api.overloaded()),
    "rate limit": ("busy", messages_api.rate_limited()),
    "internal error": ("failed", messages_api.failed()),
}


@pytest.mark.parametrize(("fault", "step"), LASTING.values(), ids=LASTING)
def test_one_policy_is_at_work_and_none_beneath_it(
    fault: Fault, step: Step, tmp_path: Path
) -> None:
    with messages_api.MessagesServer(*[step] * 50) as server:
        done = build(tmp_path, server, one_row(RECIPE))
        assert done.code == 1
        assert server.count == TRIES[fault]


def test_a_local_server_is_tried_by_the_same_policy(tmp_path: Path) -> None:
    failed = Status(500, {"error": "the runner has ended"}, {"retry-after-ms": "10"})
    with ollama_api.OllamaServer(*[failed] * 50) as server:
        assert build(tmp_path, server, one_row(LOCAL)).code == 1
        assert server.count == TRIES["failed"]


def test_an_answer_that_never_comes_is_asked_for_once_more(tmp_path: Path) -> None:
    recipe = one_row(RECIPE).replace("timeout: 30", "timeout: 0.5")
    with messages_api.MessagesServer(*[Slow(20, messages_api.said("{}"))] * 9) as server:
        done = build(tmp_path, server, recipe)
        assert done.code == 1 and "no answer within 0.5 s" in done.err
        assert server.count == TRIES["late"]


@pytest.mark.parametrize("recipe", [RECIPE, LOCAL], ids=["claude", "ollama"])
def test_a_connection_that_breaks_costs_one_more_request(recipe: str, tmp_path: Path) -> None:
    kind = messages_api.MessagesServer if recipe == RECIPE else ollama_api.OllamaServer
    with kind(Drop()) as server:
        assert build(tmp_path, server, one_row(recipe)).code == 0
        assert server.count == 2


def test_a_spend_limit_stops_at_once(tmp_path: Path) -> None:
    with messages_api.MessagesServer(*[messages_api.spent()] * 50) as server:
        done = build(tmp_path, server, RECIPE.replace("concurrency: 8", "concurrency: 1"))
        assert done.code == 1 and "spend limit" in done.err
        assert server.count == 1


class Crowded(messages_api.MessagesServer):
    """Bears `few` at once for a while, and then all: it notes how many were there each time."""

    few = 3

    def __init__(self, crowded_for: int) -> None:
        super().__init__()
        self.crowded_for = crowded_for
        self.at_once: list[int] = []
        self.refused: list[int] = []
        """At which request; in the order of their coming."""
        self.counting = threading.Lock()
        self.now = 0

    def usual(self, seen: Seen) -> Step:
        return _Counted(self, super().usual(seen))


class _Counted:
    def __init__(self, server: Crowded, then: Step) -> None:
        self.server, self.then = server, then

    def play(self, connection: Connection) -> None:
        server = self.server
        with server.counting:
            server.now += 1
            server.at_once.append(server.now)
            busy = server.now > server.few and len(server.at_once) <= server.crowded_for
            if busy:
                server.refused.append(len(server.at_once))
        time.sleep(0.03)
        step = messages_api.rate_limited(after_ms=20) if busy else self.then
        with server.counting:
            server.now -= 1
        step.play(connection)


@pytest.fixture
def crowded() -> Iterator[Crowded]:
    with Crowded(crowded_for=30) as server:
        yield server


def test_fewer_are_sent_at_once_after_a_429_and_more_again_after_success(
    crowded: Crowded, tmp_path: Path
) -> None:
    done = build(tmp_path, crowded)
    assert done.code == 0, done.out + done.err
    first = crowded.refused[0]
    assert max(crowded.at_once[: first + 8]) > 4
    # What was under way with the first one aside, at most half of the eight are there at once.
    after = crowded.at_once[first + 8 : 30]
    assert max(after) <= 4
    # It is not crowded any more: step by step more than that.
    assert max(crowded.at_once[40:]) > 4
    # Were nothing learnt, five of each eight would have been turned away.
    assert len(crowded.refused) < 15
    assert crowded.count == ROWS + len(crowded.refused)


def test_nothing_is_sent_before_the_moment_that_the_server_names(tmp_path: Path) -> None:
    came: list[float] = []

    class Noting(messages_api.MessagesServer):
        def usual(self, seen: Seen) -> Step:
            came.append(time.monotonic())
            if len(came) == 1:
                return messages_api.rate_limited(after_ms=1500)
            return super().usual(seen)

    with Noting() as server:
        recipe = RECIPE.replace("concurrency: 8", "concurrency: 1").replace("count: 60", "count: 4")
        assert build(tmp_path, server, recipe).code == 0
    assert len(came) == 5
    assert came[1] - came[0] >= 1.5, "another row was asked for meanwhile"


def test_an_answer_lost_on_its_way_counts_against_the_budget(tmp_path: Path) -> None:
    """Nobody knows what it cost: a cap that holds takes it for the most that it can have cost."""
    priced = one_row(RECIPE).replace(
        "timeout: 30", "max_tokens: 100, prices: {input: 1000, output: 5000, as_of: 2026-11-01}"
    )
    with messages_api.MessagesServer(Drop()) as server:
        project = make(tmp_path, server, priced)
        assert project.run(*UNTIL, "--max-usd", "3").code == 5
        assert server.count == 1
    with messages_api.MessagesServer(messages_api.overloaded()) as server:
        project.env = {**project.env, "ANTHROPIC_BASE_URL": server.url}
        assert project.run(*UNTIL, "--max-usd", "3").code == 0, "what was turned away is not billed"
        assert server.count == 2

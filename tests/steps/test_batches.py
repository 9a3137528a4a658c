"""`batch: true`: questions go together, at half the price, and no kill pays for them twice."""

import json
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.loopback.batches_api import ROOT, BatchesServer
from tests.loopback.server import Drop, HalfBody, Seen, Status, Step
from tests.steps.project import Project, Ran

ROWS = 12
RECIPE = """\
recipe: 1
name: together
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, batch: true,
           prices: {input: 1000, output: 5000, as_of: 2026-11-01}}
categories:
  talk: {teacher: claude, count: 12, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")
ONE = (11 * 1000 + 7 * 5000) / 1e6
"""Dollars of a single answer: as many tokens as the loopback server says that it has."""


@pytest.fixture
def server() -> Iterator[BatchesServer]:
    with BatchesServer() as running:
        yield running


def make(root: Path, server: BatchesServer) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    return Project.asking(root, server.url, RECIPE, ask="A line, number {{ ordinal }}.")


def built(project: Project) -> Ran:
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert rows(project) == ROWS
    return done


def rows(project: Project) -> int:
    files = (project.root / "builds/together/v1/dataset").glob("*.jsonl")
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def spent(project: Project) -> float:
    status = json.loads(project.run("status", "recipe.yaml", "--json").out)
    return float(status["spent"]["dollars"])


def records(project: Project) -> int:
    with sqlite3.connect(project.root / ".jessy/ledger.sqlite") as db:
        return int(db.execute("select count(*) from batched").fetchone()[0])


def kill_when(project: Project, server: BatchesServer, path: str, method: str) -> None:
    """Kill the build as soon as the server has had such a request, and before it answers."""
    process = project.begin(*UNTIL)

    def kill(seen: Seen) -> Step | None:
        if seen.method != method or not re.fullmatch(path, seen.path.partition("?")[0]):
            return None
        server.when = lambda seen: None
        # What was sent has arrived; its sender never hears of it.
        if method == "POST":
            server.make(seen.body["requests"])
        process.kill()
        process.wait()
        return Drop()

    server.when = kill
    assert process.wait(timeout=project.patience) == -signal.SIGKILL


def test_all_questions_go_in_one_request_and_cost_half(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    done = built(project)
    assert [len(batch["requests"]) for batch in server.batches] == [ROWS]
    assert not server.single
    assert "12 questions go to 'claude' as a batch" in done.out
    sent = server.batches[0]["requests"][0]["params"]
    assert sent["model"] == "claude-haiku-5-5" and sent["output_config"]["format"]["schema"]
    assert spent(project) == pytest.approx(ROWS * ONE / 2)
    assert records(project) == 0


def test_a_second_build_asks_nothing_and_more_rows_only_the_new_ones(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    built(project)
    assert "Nothing to do" in project.run(*UNTIL).out
    project.edit("count: 12", "count: 15")
    assert project.run(*UNTIL).code == 0
    assert [len(batch["requests"]) for batch in server.batches] == [ROWS, 3]


def test_the_same_rows_come_out_as_without_a_batch(tmp_path: Path, server: BatchesServer) -> None:
    together, single = make(tmp_path / "a", server), make(tmp_path / "b", server)
    server.text = lambda asked: json.dumps({"user": asked, "assistant": f"cevap: {asked}"})
    single.edit("batch: true", "batch: false")
    built(together)
    built(single)
    for name in ("train.jsonl", "valid.jsonl"):
        file = Path("builds/together/v1/dataset") / name
        assert (together.root / file).read_bytes() == (single.root / file).read_bytes()


@pytest.mark.parametrize("fate", ["errored", "expired", "canceled"])
def test_what_fails_in_a_batch_is_asked_by_itself_and_costs_nothing_there(
    tmp_path: Path, server: BatchesServer, fate: str
) -> None:
    server.fate = lambda request: (
        fate if "number 3." in request["params"]["messages"][0]["content"] else "succeeded"
    )
    project = make(tmp_path, server)
    built(project)
    assert len(server.single) == 1
    assert spent(project) == pytest.approx((ROWS - 1) * ONE / 2 + ONE)


def test_an_unusable_answer_of_a_batch_is_asked_afresh_by_itself(
    tmp_path: Path, server: BatchesServer
) -> None:
    server.text = lambda asked: (
        "no json" if "number 3." in asked else json.dumps({"user": asked, "assistant": "b"})
    )
    project = make(tmp_path, server)
    built(project)
    assert len(server.batches) == 1 and len(server.single) >= 1


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (ROOT, "POST"),
        (f"{ROOT}/msgbatch_01", "GET"),
        (f"{ROOT}/msgbatch_01/results", "GET"),
    ],
    ids=["while it is sent", "while it is waited for", "while it is fetched"],
)
def test_a_kill_sends_nothing_twice(
    tmp_path: Path, server: BatchesServer, path: str, method: str
) -> None:
    project = make(tmp_path, server)
    kill_when(project, server, path, method)
    built(project)
    assert len(server.batches) == 1
    assert server.answered == ROWS
    assert spent(project) == pytest.approx(ROWS * ONE / 2)


def test_a_batch_that_never_arrived_is_sent_again(tmp_path: Path, server: BatchesServer) -> None:
    def lose(seen: Seen) -> Step | None:
        if seen.method != "POST":
            return None
        server.when = lambda seen: None
        return Drop()

    server.when = lose
    built(make(tmp_path, server))
    assert len(server.batches) == 1
    assert [s.method for s in server.seen if s.path.partition("?")[0] == ROOT][:3] == [
        "POST",
        "GET",
        "POST",
    ], "the server is asked for it before it is sent again"


def test_a_batch_whose_receipt_was_lost_is_not_sent_again(
    tmp_path: Path, server: BatchesServer
) -> None:
    def half(seen: Seen) -> Step | None:
        if seen.method != "POST":
            return None
        server.when = lambda seen: None
        return HalfBody(server.make(seen.body["requests"]))

    server.when = half
    built(make(tmp_path, server))
    assert len(server.batches) == 1


def test_a_batch_of_somebody_else_is_not_taken_for_ours(
    tmp_path: Path, server: BatchesServer
) -> None:
    server.make([{"custom_id": "theirs", "params": {"messages": [{"content": "x"}]}}])
    project = make(tmp_path, server)
    kill_when(project, server, ROOT, "POST")
    built(project)
    assert len(server.batches) == 2


@pytest.mark.parametrize("fault", [messages_api.failed(), Drop(), messages_api.rate_limited()])
def test_a_passing_fault_while_a_batch_is_looked_at_or_fetched_is_waited_out(
    tmp_path: Path, server: BatchesServer, fault: Step
) -> None:
    hit: set[str] = set()

    def once(seen: Seen) -> Step | None:
        path = seen.path.partition("?")[0]
        if seen.method != "GET" or path in hit:
            return None
        hit.add(path)
        return fault

    server.when = once
    built(make(tmp_path, server))
    assert len(hit) == 2 and len(server.batches) == 1 and not server.single


def test_results_that_break_off_in_the_middle_are_fetched_again(
    tmp_path: Path, server: BatchesServer
) -> None:
    def half(seen: Seen) -> Step | None:
        if not seen.path.endswith("/results"):
            return None
        server.when = lambda seen: None
        whole = server.usual(seen)
        assert isinstance(whole, Status)
        return HalfBody(whole)

    server.when = half
    project = make(tmp_path, server)
    built(project)
    assert spent(project) == pytest.approx(ROWS * ONE / 2)


def test_two_builds_at_once_send_one_batch(tmp_path: Path, server: BatchesServer) -> None:
    project = make(tmp_path, server)
    server.looks = 2
    first = project.start(*UNTIL)
    for _ in range(600):
        if server.batches:
            break
        time.sleep(0.02)
    other = project.root / "other.yaml"
    other.write_text(RECIPE.replace("version: v1", "version: v2"), encoding="utf-8")
    second = project.run("build", "other.yaml", "--until", "assemble")
    first.communicate(timeout=60)
    assert (first.returncode, second.code) == (0, 0), second.out + second.err
    assert server.answered == ROWS


def test_a_recipe_that_no_longer_batches_still_takes_what_it_sent(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    kill_when(project, server, f"{ROOT}/msgbatch_01", "GET")
    project.edit("batch: true", "batch: false")
    built(project)
    assert not server.single and len(server.batches) == 1


def test_a_batch_that_the_account_does_not_know_is_told_and_asked_anew_only_on_demand(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    kill_when(project, server, f"{ROOT}/msgbatch_01", "GET")
    server.batches[0]["id"] = "msgbatch_99"
    done = project.run(*UNTIL)
    assert done.code == 1
    assert "knows no batch 'msgbatch_01'" in done.err and "`batch: false`" in done.err
    project.edit("batch: true", "batch: false")
    built(project)
    assert len(server.single) == ROWS


def test_a_rejected_row_of_a_batch_is_asked_by_itself(
    tmp_path: Path, server: BatchesServer
) -> None:
    asked_before: set[str] = set()

    def text(asked: str) -> str:
        bad = "number 3." in asked and asked not in asked_before
        asked_before.add(asked)
        return json.dumps({"user": asked, "assistant": "As an AI" if bad else "b"})

    server.text = text
    project = make(tmp_path, server)
    project.edit("duplicates: false", "duplicates: false, on_reject: replace, forbid: [as an AI]")
    built(project)
    assert (len(server.batches), len(server.single)) == (1, 1)


def test_a_preview_asks_at_once_and_nothing_that_waits_in_a_batch(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    shown = project.run("preview", "recipe.yaml", "-n", "2", "--ask")
    assert shown.code == 0, shown.out + shown.err
    assert (len(server.single), len(server.batches)) == (2, 0)
    kill_when(project, server, f"{ROOT}/msgbatch_01", "GET")
    assert project.run("preview", "recipe.yaml", "-n", "4", "--ask").code == 0
    assert len(server.single) == 2
    built(project)
    assert server.answered == ROWS


def test_a_budget_holds_a_batch_back_that_could_pass_it(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    done = project.run(*UNTIL, "--max-usd", "1")
    assert done.code == 5, done.out + done.err
    assert not server.batches and not server.single
    assert "the budget is reached" in done.err


def test_a_budget_for_half_of_them_at_most_makes_two_batches(
    tmp_path: Path, server: BatchesServer
) -> None:
    done = make(tmp_path, server).run(*UNTIL, "--max-usd", "20")
    assert done.code == 0, done.out + done.err
    assert [len(batch["requests"]) for batch in server.batches] == [6, 6]


def test_a_server_without_batches_is_told_of_the_word_to_leave_out(tmp_path: Path) -> None:
    with messages_api.MessagesServer() as plain:
        root = tmp_path
        project = Project.asking(root, plain.url, RECIPE, ask="A line, number {{ ordinal }}.")
        done = project.run(*UNTIL)
    assert done.code == 1
    assert "takes no batches" in done.err and "`batch`" in done.err


def test_the_key_stands_in_nothing_that_a_batch_leaves(
    tmp_path: Path, server: BatchesServer
) -> None:
    project = make(tmp_path, server)
    done = built(project)
    assert "sk-ant-test" not in done.out + done.err
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"sk-ant-test" not in file.read_bytes(), file

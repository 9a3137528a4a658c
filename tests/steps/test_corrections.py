"""An answer that cannot be read goes back once with what is wrong, is then mended, then asked
afresh."""

import json
import sqlite3
import subprocess
from pathlib import Path

from tests import warm
from tests.loopback import messages_api
from tests.loopback.messages_api import said
from tests.loopback.server import Drop, Seen, Step
from tests.steps.project import Project, Ran

RECIPE = """\
recipe: 1
name: put-right
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 1}
categories:
  talk: {teacher: claude, count: 2, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "validate")
GOOD = json.dumps({"user": "a", "assistant": "b"})
PROSE = "I would rather talk about something else."
LOOSE = "Sure! Here you are: {'user': 'a', 'assistant': 'b',}"
CUT = said('{"user": "a", "assis', stop_reason="max_tokens")


def make(root: Path, server: messages_api.MessagesServer) -> Project:
    return Project.asking(root, server.url, RECIPE, ask="A line, number {{ ordinal }}.")


def built(root: Path, *answers: Step) -> tuple[messages_api.MessagesServer, Ran, Project]:
    """The answers are to the first item; whatever is asked after them is answered well."""
    with messages_api.MessagesServer(*answers) as server:
        project = make(root, server)
        done = project.run(*UNTIL)
    return server, done, project


def turns(seen: Seen) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in seen.body["messages"]]


def test_a_malformed_answer_goes_back_in_the_same_conversation_with_what_is_wrong(
    tmp_path: Path,
) -> None:
    server, done, _ = built(tmp_path, said('{"user": "a"}'), said(GOOD))
    assert done.code == 0, done.out + done.err
    assert server.count == 3
    first, second = server.seen[:2]
    assert turns(second)[:2] == [*turns(first), ("assistant", '{"user": "a"}')]
    assert "'assistant': Field required" in turns(second)[2][1]
    assert second.body["output_config"] == first.body["output_config"]
    assert "2 rows, 3 asked, 0 remembered, 1 mended" in done.out


def test_what_its_teacher_cannot_put_right_is_mended_here(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, said(PROSE), said(LOOSE))
    assert done.code == 0, done.out + done.err
    assert server.count == 3
    assert "1 mended" in done.out


def test_the_first_answer_is_mended_when_the_second_is_worse(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, said(LOOSE), said(PROSE))
    assert done.code == 0 and server.count == 3, done.out + done.err


def test_what_nothing_mends_is_asked_afresh(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, said(PROSE), said(PROSE), said(GOOD))
    assert done.code == 0 and server.count == 4, done.out + done.err
    assert len(turns(server.seen[2])) == 1
    assert "mended" not in done.out


def test_three_tries_and_three_corrections_are_all_that_an_item_gets(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, *[said(PROSE)] * 6)
    assert done.code == 1
    assert server.count == 7
    assert "1 of 2 items have no usable answer" in done.err


def test_a_cut_off_answer_is_no_example_even_where_it_could_be_mended(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, CUT, CUT, CUT)
    assert done.code == 1
    assert [len(turns(seen)) for seen in server.seen] == [1, 1, 1, 1], "nothing goes back"
    assert "cut off" in done.err


def test_a_correction_that_is_cut_off_is_no_example(tmp_path: Path) -> None:
    server, done, _ = built(tmp_path, said(PROSE), CUT, said(GOOD))
    assert done.code == 0 and server.count == 4, done.out + done.err
    assert len(turns(server.seen[2])) == 1


def test_show_tells_that_an_answer_was_put_right(tmp_path: Path) -> None:
    _, _, project = built(tmp_path, said('{"user": "a"}'), said(GOOD))
    shown = project.run("show", "talk/talk/en/low/0").out
    assert "its teacher put it right" in shown, shown


def test_a_kill_between_an_answer_and_its_correction_pays_for_neither_twice(
    tmp_path: Path,
) -> None:
    class Server(messages_api.MessagesServer):
        process: "subprocess.Popen[bytes] | warm.Started | None" = None

        def usual(self, seen: Seen) -> Step:
            if self.process is None:
                return super().usual(seen)
            if self.count == 1:
                return said(PROSE)
            self.process.kill()
            self.process.wait()
            self.process = None
            return Drop()

    with Server() as server:
        project = make(tmp_path, server)
        server.process = project.begin(*UNTIL)
        server.process.wait(timeout=60)
        assert server.count == 2
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
        # The first question is not asked again: the next is its correction, then the other item.
        assert [len(turns(seen)) for seen in server.seen] == [1, 3, 3, 1]
        again = project.run(*UNTIL)
        assert "Nothing to do" in again.out and server.count == 4


def test_what_was_paid_for_both_stands_in_status(tmp_path: Path) -> None:
    _, _, project = built(tmp_path, said(PROSE), said(LOOSE))
    status = json.loads(project.run("status", "recipe.yaml", "--json").out)
    assert status["spent"]["requests"] == 3
    with sqlite3.connect(project.root / ".jessy/ledger.sqlite") as db:
        kept = [json.loads(reply)["text"] for (reply,) in db.execute("select reply from replies")]
    assert LOOSE in kept

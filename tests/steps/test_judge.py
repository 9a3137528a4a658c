"""A judge among the validators: each row is judged once, and its scores are kept beside it."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.loopback import messages_api
from tests.loopback.messages_api import said
from tests.loopback.server import Drop, Seen, Step
from tests.steps.project import Project, Ran

RECIPE = """\
recipe: 1
name: judged
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
  strict: {kind: anthropic, model: claude-sonnet-5-5, concurrency: 2}
  own: {kind: curated, files: [rows.jsonl]}
categories:
  talk: {teacher: claude, count: 4, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
  smalltalk: {teacher: own, count: all}
dataset:
  validate:
    on_reject: drop
    judge:
      teacher: strict
      rubric: {naturalness: Reads as a friend writes., warmth: Is kind.}
      at_least: {naturalness: 3}
train: {steps: 1}
"""
ASKED, CURATED = 4, 6
ROWS = ASKED + CURATED
UNTIL = ("build", "recipe.yaml", "--until", "assemble")
JUDGE = "claude-sonnet-5-5"
Saying = Callable[[str, int], Any]
"""The question about a row, and how often the judge was asked it before, to what it says."""


def scores(naturalness: Any = 4, warmth: Any = 5, reason: str = "Fine.") -> dict[str, Any]:
    return {"reason": reason, "naturalness": naturalness, "warmth": warmth}


class Teacher(messages_api.MessagesServer):
    """Gives rows as one model, and scores as another."""

    def __init__(self, saying: Saying = lambda asked, times: scores()) -> None:
        super().__init__()
        self.saying = saying
        self.times: dict[str, int] = {}
        self.judged: list[str] = []
        """What the judge was asked, in turn."""
        self.given: dict[str, int] = {}
        self.when: Callable[[int], Step | None] = lambda number: None
        """Called with the number of the judge's request, before it is answered."""

    def usual(self, seen: Seen) -> Step:
        turns = seen.body["messages"]
        asked = turns[0]["content"]
        if seen.body["model"] != JUDGE:
            times = self.given[asked] = self.given.get(asked, -1) + 1
            return said(json.dumps({"user": f"{asked} {times}?", "assistant": f"{asked} Sure."}))
        self.judged.append(asked)
        if fault := self.when(len(self.judged)):
            return fault
        times = self.times[asked] = self.times.get(asked, -1) + 1
        answer = self.saying(asked, times)
        return said(answer if isinstance(answer, str) else json.dumps(answer), JUDGE)


def make(root: Path, server: Teacher, recipe: str = RECIPE) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    project = Project.asking(root, server.url, recipe, ask="Line {{ ordinal }} of talk.")
    rows = [{"user": f"hello {n}", "assistant": f"hi there, {n}"} for n in range(CURATED)]
    put(project, rows)
    return project


def put(project: Project, rows: list[dict[str, str]]) -> None:
    labelled = [{**row, "language": "en", "complexity": "low"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in labelled)
    (project.root / "rows.jsonl").write_text(text, encoding="utf-8")


def edit_row(project: Project, old: str, new: str) -> None:
    path = project.root / "rows.jsonl"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def good(done: Ran) -> Ran:
    assert done.code == 0, done.out + done.err
    return done


def data(project: Project) -> list[dict[str, Any]]:
    files = sorted((project.root / "builds/judged/v1/dataset").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def said_of(project: Project) -> dict[str, Any]:
    """What `status --json` says of the scores."""
    document = json.loads(good(project.run("status", "recipe.yaml", "--json")).out)
    found: dict[str, Any] = document["judged"]
    return found


def id_of(project: Project, words: str) -> str:
    (row,) = [row for row in data(project) if words in json.dumps(row)]
    return str(row["id"])


# Once


def test_every_row_is_judged_once_and_never_again(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        done = good(project.run(*UNTIL))
        assert len(server.judged) == ROWS
        assert "10 judged (10 asked)" in done.out
        assert len(data(project)) == ROWS
        assert "Nothing to do" in good(project.run(*UNTIL)).out
        project.edit("warmth: Is kind.", "warmth: Is kind., brevity: Is short.")
        project.edit("warmth: Is kind., brevity: Is short.", "warmth: Is kind.")
        project.edit("on_reject: drop", "on_reject: fail")
        again = good(project.run(*UNTIL))
        assert "10 judged (0 asked)" in again.out
        assert len(server.judged) == ROWS


def test_an_edited_row_is_the_only_one_that_is_judged_again(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        edit_row(project, "hi there, 3", "hey, 3")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 1
        assert "hey, 3" in server.judged[-1]
        # Another order, another file, another category: what it says is the same.
        rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
        put(project, rows[::-1])
        project.edit("  smalltalk: {", "  chatter: {")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 1
        edit_row(project, "hey, 3", "hi there, 3")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 1


def test_another_rubric_or_judge_asks_about_every_row_and_a_higher_bar_about_none(
    tmp_path: Path,
) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        project.edit("at_least: {naturalness: 3}", "at_least: {naturalness: 4, warmth: 5}")
        good(project.run(*UNTIL))
        project.edit("concurrency: 2", "concurrency: 1, timeout: 20")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS
        project.edit("Is kind.", "Is kind to people.")
        good(project.run(*UNTIL))
        assert len(server.judged) == 2 * ROWS
        (project.root / "own.j2").write_text("{{ rubric.warmth }} {{ messages[1].content }}")
        project.edit("teacher: strict\n", "teacher: strict\n      prompt: own.j2\n")
        good(project.run(*UNTIL))
        assert len(server.judged) == 3 * ROWS
        assert "Is kind to people. hi there, 2" in server.judged


def test_a_kill_in_the_middle_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        process = subprocess.Popen(
            project.command(*UNTIL),
            cwd=project.root,
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def kill(number: int) -> Step | None:
            if number < 6:
                return None
            server.when = lambda number: None
            process.send_signal(signal.SIGKILL)
            process.wait()
            return Drop()

        server.when = kill
        process.wait(timeout=60)
        good(project.run(*UNTIL))
        # Two are on their way at a time; the kill may have come before the other was kept.
        assert ROWS + 1 <= len(server.judged) <= ROWS + 2
        assert len(set(server.judged)) == ROWS
        assert said_of(project)["rows"] == ROWS


# What comes of it


def poor(asked: str, times: int) -> dict[str, Any]:
    if "hi there, 3" in asked:
        return scores(2, 1, "Nobody says 'hi there'.")
    return scores(5)


def test_a_row_below_the_bar_is_rejected_with_criterion_score_and_reason(tmp_path: Path) -> None:
    with Teacher(poor) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        assert len(data(project)) == ROWS - 1
        gone = good(project.run("show", "rows.jsonl:4")).out
        assert "rejected" in gone
        assert "judge: naturalness 2, at least 3: Nobody says 'hi there'." in gone
        status = good(project.run("status", "recipe.yaml")).out
        assert "Rejected: 1 rows (judge 1)" in status
        project.edit("at_least: {naturalness: 3}", "at_least: 1")
        good(project.run(*UNTIL))
        assert len(data(project)) == ROWS
        project.edit("      at_least: 1\n", "")
        good(project.run(*UNTIL))
        assert len(data(project)) == ROWS and len(server.judged) == ROWS


def test_a_build_that_may_not_lose_rows_stops_and_names_them(tmp_path: Path) -> None:
    with Teacher(poor) as server:
        project = make(tmp_path, server, RECIPE.replace("on_reject: drop", "on_reject: fail"))
        done = project.run(*UNTIL)
        assert done.code == 1
        assert "rows.jsonl:4: judge: naturalness 2, at least 3: Nobody says" in done.err
        # Where another rule stops the build anyway, nobody pays for a judge.
        edit_row(project, "hi there, 5", "word " * 50)
        edit_row(project, "hi there, 4", "hey, 4")
        assert project.run(*UNTIL).code == 1
        assert len(server.judged) == ROWS


def test_what_a_review_accepted_is_not_overruled(tmp_path: Path) -> None:
    from jessy_build.example import Message
    from jessy_build.recipe import review

    with Teacher(poor) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        shown = json.loads(good(project.run("show", "rows.jsonl:4", "--json")).out)
        messages = tuple(Message(**one) for one in shown["messages"])
        accepted = review.Decision(
            shown["id"], review.text_of(messages), "smalltalk", "accept", "hello 3", ()
        )
        review.write(review.path_of(project.root / "recipe.yaml"), [accepted])
        good(project.run(*UNTIL))
        assert len(data(project)) == ROWS and len(server.judged) == ROWS


def test_rows_that_break_another_rule_are_not_judged_and_a_fall_lets_the_next_one_in(
    tmp_path: Path,
) -> None:
    """Of two rows that ask the same the first stays, unless the judge has it fall."""
    with Teacher(poor) as server:
        project = make(tmp_path, server)
        edit_row(project, "hello 5", "hello 3")
        edit_row(project, "hi there, 0", "word " * 50)
        done = good(project.run(*UNTIL))
        assert "hello 3" in json.dumps(data(project)) and "hi there, 5" in json.dumps(data(project))
        assert len(data(project)) == ROWS - 2
        assert "9 judged" in done.out and len(server.judged) == ROWS - 1
        assert not any("word word" in asked for asked in server.judged)


def test_a_rejected_row_is_replaced_and_the_one_in_its_place_is_judged(tmp_path: Path) -> None:
    def saying(asked: str, times: int) -> dict[str, Any]:
        return scores(1, 1, "Stiff.") if "Line 2 of talk. 0?" in asked else scores(5)

    with Teacher(saying) as server:
        project = make(tmp_path, server, RECIPE.replace("on_reject: drop", "on_reject: replace"))
        done = good(project.run(*UNTIL))
        assert len(data(project)) == ROWS
        assert len(server.judged) == ROWS + 1 and "Line 2 of talk. 1?" in server.judged[-1]
        assert "1 replaced" in done.out and "11 judged" in done.out
        assert "Nothing to do" in good(project.run(*UNTIL)).out
        project.edit("version: v1", "version: v2")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 1


def test_only_the_categories_that_are_named_are_judged(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        project.edit("at_least: {naturalness: 3}", "categories: [talk]")
        good(project.run(*UNTIL))
        assert len(server.judged) == ASKED
        assert said_of(project)["by_category"].keys() == {"talk"}


# Scores that cannot be read


def test_scores_that_cannot_be_read_go_back_once_and_are_then_asked_afresh(tmp_path: Path) -> None:
    def saying(asked: str, times: int) -> Any:
        if "hi there, 1" in asked:
            return [scores(4.5), scores(4)][min(times, 1)]
        if "hi there, 2" in asked:
            return [scores(9), "I would rather not.", scores(4)][min(times, 2)]
        return scores()

    with Teacher(saying) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 1 + 2
        turns = [seen.body["messages"] for seen in server.seen if seen.body["model"] == JUDGE]
        back = [said for said in turns if len(said) == 3]
        assert len(back) == 2
        assert "'naturalness' is no whole number from 1 to 5" in back[0][2]["content"]
        assert "Nothing to do" in good(project.run(*UNTIL)).out


def test_a_row_without_scores_stops_the_build_and_all_others_are_kept(tmp_path: Path) -> None:
    def saying(asked: str, times: int) -> Any:
        return "No." if "hi there, 2" in asked else scores()

    with Teacher(saying) as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
        assert done.code == 1
        assert "'strict' gave 1 of 10 rows no scores in 3 tries" in done.err
        assert "rows.jsonl:3" in done.err
        assert len(server.judged) == ROWS - 1 + 6
        assert project.run(*UNTIL).code == 1
        assert len(server.judged) == ROWS - 1 + 6
        edit_row(project, "hi there, 2", "hey, 2")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS + 6

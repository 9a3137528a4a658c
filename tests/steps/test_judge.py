"""A judge among the validators: each row is judged once, and its scores are kept beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.loopback import messages_api
from tests.loopback.batches_api import BatchesServer
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
SAID = 1000
"""Tokens of each answer of the judge."""
ROW, SCORED = (11 * 1 + 7 * 5) / 1e6, (11 * 1 + SAID * 5) / 1e6
"""Dollars of a row, and of its scores."""
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
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return said(text, JUDGE, output_tokens=SAID)


def make(root: Path, server: messages_api.MessagesServer, recipe: str = RECIPE) -> Project:
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
        process = project.begin(*UNTIL)

        def kill(number: int) -> Step | None:
            if number < 6:
                return None
            server.when = lambda number: None
            process.kill()
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


# What it costs

PRICED = RECIPE.replace(
    "{kind: anthropic,", "{kind: anthropic, prices: {input: 1, output: 5, as_of: 2026-11-01},"
)


def planned(project: Project) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(
        good(project.run("plan", "recipe.yaml", "--json", "--until", "assemble")).out
    )
    return plan


def of_judge(project: Project) -> dict[str, Any]:
    (validate,) = [step for step in planned(project)["steps"] if step["step"] == "validate"]
    judge: dict[str, Any] = validate["estimate"]["judge"]
    return judge


def test_a_plan_has_a_line_for_the_judge_with_what_it_may_cost(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server, PRICED)
        before = of_judge(project)
        assert (before["rows"], before["to_ask"], before["dollars"]) == (ROWS, ROWS, None)
        total = planned(project)["total"]
        assert total["to_ask"] == ASKED + ROWS
        assert total["dollars_at_most"] > before["dollars_at_most"] > 0
        assert "strict judges 10 rows: 10 to ask, 0 judged before" in (
            good(project.run("plan", "recipe.yaml")).out
        )
        assert not server.judged and not server.given
        good(project.run(*UNTIL))
        assert before["dollars_at_most"] > ROWS * SCORED
        edit_row(project, "hi there, 3", "hey, 3")
        edit_row(project, "hi there, 0", "word " * 50)
        after = of_judge(project)
        assert (after["rows"], after["to_ask"]) == (ROWS - 1, 1)
        assert after["input_tokens"] == 11 and after["output_tokens"] == SAID
        assert after["dollars"] == SCORED
        good(project.run(*UNTIL))
        project.edit("at_least: {naturalness: 3}", "at_least: {naturalness: 4}")
        cached = of_judge(project)
        assert (cached["to_ask"], cached["dollars"], cached["dollars_at_most"]) == (0, 0, 0)


def test_rows_that_a_level_keeps_short_cost_less_judging(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server, PRICED)
        before = of_judge(project)["dollars_at_most"]
        level = "{iterations: [1, 2], words: [1, 40], seconds: 5, max_tokens: 100}"
        project.edit("train:", f"complexity: {{low: {level}}}\ntrain:")
        assert of_judge(project)["dollars_at_most"] < before


def test_replacing_may_cost_more_judging(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server, PRICED)
        once = of_judge(project)["dollars_at_most"]
        project.edit("on_reject: drop", "on_reject: replace")
        assert of_judge(project)["dollars_at_most"] > 2 * once


def test_what_judging_cost_stands_in_status_and_lock_and_the_budget_stops_it(
    tmp_path: Path,
) -> None:
    with Teacher() as server:
        project = make(tmp_path, server, PRICED + "budget: {max_usd: 0.000001}\n")
        # Four rows are asked for first: too much for that.
        assert project.run(*UNTIL).code == 5 and server.count == 0
        project.edit("max_usd: 0.000001", "max_usd: 0.2")
        stopped = project.run(*UNTIL, "--max-usd", "0.03")
        assert stopped.code == 5, stopped.out + stopped.err
        assert 0 < len(server.judged) < ROWS, "the rows fit, and not all of the judge"
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS
        status = json.loads(good(project.run("status", "recipe.yaml", "--json")).out)
        assert status["spent"]["requests"] == ASKED + ROWS
        assert status["spent"]["dollars"] == round(ASKED * ROW + ROWS * SCORED, 6)
        lock = yaml.safe_load((project.root / "recipe.lock.yaml").read_text())
        block = lock["steps"]["validate"]
        assert block["scores"] == {"naturalness": 4, "warmth": 5}
        assert block["tokens"] == {"input": 11 * ROWS, "output": SAID * ROWS}
        assert block["usd"] == round(ROWS * SCORED, 6)


def test_a_diff_tells_what_the_judge_cost_in_each(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server, PRICED)
        judging = PRICED[PRICED.index("    judge:") : PRICED.index("train:")]
        project.edit(judging, "")
        good(project.run(*UNTIL))
        project.edit("    on_reject: drop\n", f"    on_reject: drop\n{judging}")
        good(project.run(*UNTIL))
    told = json.loads(project.run("diff", "build:1", "build:2", "--json").out)
    costs = {(c["category"], c["measure"]): (c["old"], c["new"]) for c in told["cost"]}
    assert costs["the judge", "output tokens"] == (0, SAID * ROWS)
    assert costs["the judge", "dollars"] == (0, round(ROWS * SCORED, 6))
    old, new = costs["total", "dollars"]
    assert new - old == pytest.approx(ROWS * SCORED)
    assert "the judge" in project.run("diff", "build:1", "build:2").out


def test_a_judge_without_prices_cannot_be_held_by_a_budget(tmp_path: Path) -> None:
    prices = "prices: {input: 1, output: 5, as_of: 2026-11-01}"
    free = RECIPE.replace("haiku-5-5,", f"haiku-5-5, {prices},")
    with Teacher() as server:
        project = make(tmp_path, server, free + "budget: {max_usd: 1}\n")
        done = project.run("check", "recipe.yaml")
        assert done.code == 2 and "'strict' has no prices" in done.err


def test_a_judge_may_be_asked_in_a_batch(tmp_path: Path) -> None:
    with BatchesServer() as server:
        server.text = lambda asked: json.dumps(scores())
        project = make(tmp_path, server, RECIPE.replace("concurrency: 2", "batch: true"))
        done = good(project.run(*UNTIL))
        assert "10 questions go to 'strict' as a batch" in done.out
        assert len(server.single) == ASKED
        assert "Nothing to do" in good(project.run(*UNTIL)).out
        assert [len(batch["requests"]) for batch in server.batches] == [ROWS]


# Where scores are shown


def test_scores_are_kept_beside_the_rows_and_shown(tmp_path: Path) -> None:
    with Teacher(poor) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        judged = said_of(project)
        assert judged["rows"] == ROWS
        assert judged["mean"] == {"naturalness": 4.7, "warmth": 4.6}
        assert judged["by_category"]["smalltalk"] == {"naturalness": 4.5, "warmth": 4.3333}
        shown = json.loads(good(project.run("show", "rows.jsonl:2", "--json")).out)["judged"]
        assert shown["scores"] == {"naturalness": 5, "warmth": 5} and shown["reason"] == "Fine."
        assert (shown["teacher"], shown["model"]) == ("strict", JUDGE)
        assert (
            "naturalness 5, warmth 5   by strict" in good(project.run("show", "rows.jsonl:2")).out
        )
        # Of a row that was rejected, too.
        gone = json.loads(good(project.run("show", "rows.jsonl:4", "--json")).out)["judged"]
        assert gone["scores"] == {"naturalness": 2, "warmth": 1}


def test_scores_are_columns_of_an_export(tmp_path: Path) -> None:
    with Teacher(poor) as server:
        project = make(tmp_path, server)
        project.edit("categories:\n", "categories:\n  # judged: all but talk\n")
        project.edit("at_least: {naturalness: 3}", "categories: [smalltalk]")
        good(project.run(*UNTIL))
        good(project.run("export", "recipe.yaml", "-o", "out", "--columns", "source,scores"))
        files = sorted((project.root / "out").glob("*.jsonl"))
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        (poor_one,) = [row for row in rows if row["source"] == "rows.jsonl:4"]
        assert (poor_one["score_naturalness"], poor_one["score_warmth"]) == (2, 1)
        assert sum("score_warmth" in row for row in rows) == CURATED
        good(project.run("export", "recipe.yaml", "-o", "parquet", "--format", "parquet"))
        import arro3.io as aio

        names = aio.read_parquet(project.root / "parquet/train.parquet").schema.names
        assert names[-3:] == ["score_naturalness", "score_warmth", "messages"]


def test_a_clean_up_keeps_the_answers_that_scores_rest_on(tmp_path: Path) -> None:
    with Teacher() as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        gone = good(project.run("gc", "--answers-older-than", "0", "--keep-last", "1", "--json"))
        assert json.loads(gone.out)["answers"] == 0
        project.edit("at_least: {naturalness: 3}", "at_least: {naturalness: 4}")
        good(project.run(*UNTIL))
        assert len(server.judged) == ROWS


def test_the_review_of_a_build_that_broke_off_knows_the_scores(tmp_path: Path) -> None:
    from jessy_build.recipe.load import load
    from jessy_build.steps import review
    from jessy_build.steps.builds import open_workspace

    with Teacher(poor) as server:
        project = make(tmp_path, server, RECIPE.replace("on_reject: drop", "on_reject: fail"))
        assert project.run(*UNTIL).code == 1
        for _ in range(2):
            workspace = open_workspace(load(project.root / "recipe.yaml"))
            (row,) = [r for r in review.rows(workspace) if r.source == "rows.jsonl:4"]
            assert dict(row.scores) == {"naturalness": 2, "warmth": 1}
            assert row.reason == "Nobody says 'hi there'."
            assert [flag.rule for flag in row.flags] == ["judge"]
            project.edit("on_reject: fail", "on_reject: drop")
            good(project.run(*UNTIL))
            project.edit("on_reject: drop", "on_reject: fail")

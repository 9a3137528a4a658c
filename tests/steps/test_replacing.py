"""`on_reject: replace`: quotas are filled after all rules, by asking for other rows."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.loopback import messages_api
from tests.loopback.messages_api import said
from tests.loopback.server import Drop, Seen, Step
from tests.steps.project import Project, Ran
from tests.steps.test_review import desk

RECIPE = """\
recipe: 1
name: topped
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  talk: {teacher: claude, count: 8, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
  deep: {teacher: claude, count: 4, prompt: deep.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {on_reject: replace, forbid: ["as an AI"]}}
train: {steps: 1}
"""
ROWS = 12
UNTIL = ("build", "recipe.yaml", "--until", "assemble")
Answering = Callable[[str, int], str]
"""The question, and how often it was asked before, to an answer."""


class Teacher(messages_api.MessagesServer):
    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self.answering = answering
        self.times: dict[str, int] = {}
        self.when: Callable[[str, int], Step | None] = lambda asked, times: None

    def usual(self, seen: Seen) -> Step:
        asked = seen.body["messages"][-1]["content"]
        times = self.times.get(asked, 0)
        self.times[asked] = times + 1
        if fault := self.when(asked, times):
            return fault
        return said(self.answering(asked, times))


def row(asked: str, answer: str) -> str:
    return json.dumps({"user": f"{asked} please", "assistant": answer})


def bad_at_first(asked: str, times: int) -> str:
    """Two questions of twelve get an answer that breaks a rule, and then a good one."""
    bad = times == 0 and ("talk 3." in asked or "deep 1." in asked)
    return row(f"{asked} {times}", "As an AI, I cannot." if bad else "Sure, here you are.")


def make(root: Path, server: Teacher) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    templates = {"ask": "Line about talk {{ ordinal }}.", "deep": "Something deep {{ ordinal }}."}
    return Project.asking(root, server.url, RECIPE, **templates)


def good(done: Ran) -> Ran:
    assert done.code == 0, done.out + done.err
    return done


def rows(project: Project) -> list[dict[str, Any]]:
    files = sorted((project.root / "builds/topped/v1/dataset").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_rejected_row_gives_its_place_to_another_answer(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        done = good(project.run(*UNTIL))
        assert server.count == ROWS + 2
        assert len(rows(project)) == ROWS
        assert "as an ai" not in json.dumps(rows(project)).lower()
        assert "12 rows, none rejected, 2 replaced" in done.out
        assert "2 rows were rejected, and others are asked in their place" in done.out
        assert "Nothing to do" in good(project.run(*UNTIL)).out
        assert server.count == ROWS + 2


def test_the_same_answers_give_the_same_bytes_without_asking(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        first = rows(project)
        project.edit("on_reject: replace", "on_reject: drop")
        good(project.run(*UNTIL))
        assert len(rows(project)) == ROWS - 2
        project.edit("on_reject: drop", "on_reject: replace")
        good(project.run(*UNTIL))
        assert rows(project) == first
        assert server.count == ROWS + 2


def test_another_rule_asks_only_for_what_it_rejects(tmp_path: Path) -> None:
    def answering(asked: str, times: int) -> str:
        word = "sadly" if "talk 5." in asked and times == 0 else "here you are"
        return row(f"{asked} {times}", f"Well, {word}.")

    with Teacher(answering) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        assert server.count == ROWS
        project.edit('["as an AI"]', '["as an AI", "sadly"]')
        done = good(project.run(*UNTIL))
        assert server.count == ROWS + 1
        assert "generate:talk" not in done.ran and "validate" in done.ran
        assert len(rows(project)) == ROWS


def test_rows_of_two_categories_that_ask_the_same_are_told_apart(tmp_path: Path) -> None:
    def answering(asked: str, times: int) -> str:
        same = times == 0 and ("talk 0." in asked or "deep 0." in asked)
        return row("the very same" if same else f"{asked} {times}", "Here you are.")

    with Teacher(answering) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        assert server.count == ROWS + 1
        assert len(rows(project)) == ROWS


def test_a_place_that_nothing_fills_stops_the_build_with_a_table(tmp_path: Path) -> None:
    def answering(asked: str, times: int) -> str:
        bad = "talk 3." in asked
        return row(f"{asked} {times}", "As an AI, I cannot." if bad else "Here you are.")

    with Teacher(answering) as server:
        project = make(tmp_path, server)
        done = project.run(*UNTIL)
        assert done.code == 1
        assert server.count == ROWS + 5
        assert "1 of 12 rows break the rules, and nothing could take their place" in done.err
        assert "talk · talk · en · low: 7 of 8 rows (forbid" in done.err
        # All that was paid for is kept.
        assert project.run(*UNTIL).code == 1
        assert server.count == ROWS + 5
        project.edit("on_reject: replace", "on_reject: drop")
        good(project.run(*UNTIL))
        assert len(rows(project)) == ROWS - 1


def test_a_kill_in_the_middle_of_replacing_asks_nothing_twice(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        process = project.begin(*UNTIL)

        def kill(asked: str, times: int) -> Step | None:
            if times == 0:
                return None
            server.when = lambda asked, times: None
            # The other one of the two may have been answered before.
            process.kill()
            process.wait()
            return Drop()

        server.when = kill
        process.wait(timeout=60)
        good(project.run(*UNTIL))
        assert len(rows(project)) == ROWS
        assert ROWS + 3 <= server.count <= ROWS + 4, "only what had no answer is asked again"


def test_curated_rows_that_break_a_rule_are_named_in_the_table(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        project.edit(
            "categories:\n",
            "  own: {kind: curated, files: [rows.jsonl]}\ncategories:\n"
            "  few: {teacher: own, count: 2}\n",
        )
        lines = [("hello", "As an AI, no."), ("hi there", "Yes, hi."), ("hey", "As an AI, yes.")]
        said_so = [
            {"user": user, "assistant": answer, "language": "en", "complexity": "low"}
            for user, answer in lines
        ]
        text = "".join(json.dumps(line) + "\n" for line in said_so)
        (project.root / "rows.jsonl").write_text(text)
        done = project.run(*UNTIL)
        assert done.code == 1
        assert "few" in done.err and "curated rows" in done.err


def test_where_nobody_can_be_asked_a_counted_category_stops_the_build_too(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        recipe = (project.root / "recipe.yaml").read_text()
        start, end = recipe.index("teachers:"), recipe.index("dataset:")
        own = (
            "teachers:\n  own: {kind: curated, files: [rows.jsonl]}\n"
            "categories:\n  few: {teacher: own, count: 3}\n"
        )
        project.write(recipe[:start] + own + recipe[end:])
        said_so = [
            {"user": user, "assistant": answer, "language": "en", "complexity": "low"}
            for user, answer in (("hello", "As an AI, no."), ("hi there", "Yes."), ("hey", "Yes."))
        ]
        text = "".join(json.dumps(line) + "\n" for line in said_so)
        (project.root / "rows.jsonl").write_text(text)
        done = project.run(*UNTIL)
        assert done.code == 1 and "few" in done.err, done.out + done.err
        assert "2 of 3 rows (forbid" in done.err
        # Of `all` there is no number to fall short of.
        project.edit("count: 3", "count: all")
        assert "2 rows, 1 rejected" in good(project.run(*UNTIL)).out
        assert server.count == 0


def test_what_was_replaced_is_found_by_show(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        (taken,) = [r for r in rows(project) if "talk 3. 1 please" in json.dumps(r)]
        shown = good(project.run("show", taken["id"])).out
        assert "attempt 2" in shown and "Sure, here you are." in shown, shown


def test_a_rejected_row_says_why_and_its_slot_names_the_row_in_its_place(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        taken = json.loads(good(project.run("show", "talk/talk/en/low/3", "--json")).out)
        assert taken["asked"]["attempt"] == 1 and not taken["rejected"]
        with_it = project.root / ".jessy"
        found = [
            json.loads(line)
            for file in with_it.rglob("findings.jsonl")
            for line in file.read_text().splitlines()
        ]
        gone = good(project.run("show", found[0]["example_id"])).out
        assert "rejected" in gone and "forbid" in gone, gone
        status = json.loads(good(project.run("status", "recipe.yaml", "--json")).out)
        assert "forbid" in json.dumps(status)


def test_the_upper_limit_of_the_bill_counts_what_may_be_asked_in_place(tmp_path: Path) -> None:
    def at_most(project: Project) -> float:
        plan = json.loads(good(project.run("plan", "recipe.yaml", "--json")).out)
        return float(plan["total"]["dollars_at_most"])

    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        project.edit("concurrency: 4", "prices: {input: 1, output: 5, as_of: 2026-11-01}")
        replacing = at_most(project)
        project.edit("on_reject: replace", "on_reject: drop")
        assert replacing > 5 * at_most(project)


def test_old_answers_that_are_removed_are_none_of_those_that_took_a_place(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        first = rows(project)
        removed = good(project.run("gc", "--answers-older-than", "0", "--json")).out
        assert json.loads(removed)["answers"] == 0
        # Another rule that rejects nothing more: the places are filled again from the answers.
        project.edit('["as an AI"]', '["as an AI", "nobody says so"]')
        assert "validate" in good(project.run(*UNTIL)).ran
        assert rows(project) == first and server.count == ROWS + 2


def test_a_review_decides_about_the_row_that_took_a_place(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        shown = [row.messages[0].content for row in desk(project).rows]
        assert len(shown) == ROWS and "Line about talk 3. 1 please" in shown[3]
        assert not any("talk 3. 0" in asked for asked in shown)
        at = desk(project)
        at.decide(at.rows[3].id, at.rows[3].text, "edit", [shown[3], "Put right by hand."])
        (deep,) = (row for row in at.rows if "deep 1." in row.messages[0].content)
        at.decide(deep.id, deep.text, "reject")
        good(project.run(*UNTIL))
        said = json.dumps(rows(project))
        assert "Put right by hand." in said and "deep 1." not in said
        assert server.count == ROWS + 2, "a decision costs no question"
        told = json.loads(good(project.run("show", at.rows[3].id, "--json")).out)
        assert told["edited"][1]["content"] == "Put right by hand."


def test_a_row_in_the_place_of_another_that_was_edited_is_not_given_up(tmp_path: Path) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        at = desk(project)
        question = at.rows[3].messages[0].content
        at.decide(at.rows[3].id, at.rows[3].text, "edit", [question, "As an AI, by hand."])
        done = project.run(*UNTIL)
        assert server.count == ROWS + 2, "nothing is asked in its place"
        assert done.code == 1 and "7 of 8 rows (forbid" in done.err, done.out + done.err


def test_of_two_rows_that_took_a_place_one_after_the_other_the_last_is_shown(
    tmp_path: Path,
) -> None:
    def answering(asked: str, times: int) -> str:
        bad = "talk 3." in asked and times < 2
        return row(f"{asked} {times}", f"As an AI, {times}." if bad else f"Here, {times}.")

    with Teacher(answering) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        shown = json.loads(good(project.run("show", "talk/talk/en/low/3", "--json")).out)
        assert shown["messages"][1]["content"] == "Here, 2." and not shown["rejected"]
        why = json.loads(good(project.run("why", "recipe.yaml", shown["slot"], "--json")).out)
        assert why["id"] == shown["id"]
        assert desk(project).rows[3].id == shown["id"]
        # Each of the others is found by its request, and is not taken for the one in its place.
        (gone,) = [f for f in _findings(project) if "talk 3. 1" in _asked(project, f["where"])]
        between = json.loads(good(project.run("show", gone["where"], "--json")).out)
        assert between["messages"][1]["content"] == "As an AI, 1." and between["rejected"]


def test_the_newest_data_set_comes_before_what_took_a_place_in_an_older_one(
    tmp_path: Path,
) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        good(project.run(*UNTIL))
        project.edit(', forbid: ["as an AI"]', "")
        good(project.run(*UNTIL))
        assert "As an AI" in json.dumps(rows(project))
        shown = json.loads(good(project.run("show", "talk/talk/en/low/3", "--json")).out)
        assert shown["messages"][1]["content"] == "As an AI, I cannot."


def _findings(project: Project) -> list[dict[str, Any]]:
    files = (project.root / ".jessy/views").rglob("findings.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def _asked(project: Project, request: str) -> str:
    return str(json.loads(good(project.run("show", request, "--json")).out)["messages"])


def test_a_row_in_the_place_of_another_names_the_template_and_prompt_that_made_it(
    tmp_path: Path,
) -> None:
    with Teacher(bad_at_first) as server:
        project = make(tmp_path, server)
        template = (project.root / "ask.j2").read_bytes()
        good(project.run(*UNTIL))
        old = json.loads(good(project.run("show", "talk/talk/en/low/3", "--json")).out)
        other = "Another line about talk {{ ordinal }}."
        (project.root / "ask.j2").write_text(other, encoding="utf-8")
        good(project.run(*UNTIL))
        new = json.loads(good(project.run("show", "talk/talk/en/low/3", "--json")).out)
        assert "Another line" in new["asked"]["prompt"][-1][1] and new["asked"]["attempt"] == 1
        assert new["template"] == {"file": "ask.j2", "sha256": sha256(other.encode()).hexdigest()}
        old = json.loads(good(project.run("show", old["id"], "--json")).out)
        assert (
            old["asked"]["prompt"][-1][1] == "Line about talk 3." and old["asked"]["attempt"] == 1
        )
        assert old["template"] == {"file": "ask.j2", "sha256": sha256(template).hexdigest()}


def test_two_categories_that_ask_one_teacher_the_same_keep_their_own_rows(tmp_path: Path) -> None:
    with Teacher(lambda asked, times: row(asked, f"Sadly, {times}.")) as server:
        project = make(tmp_path, server)
        same = "count: 8, prompt: ask.j2, languages: {en: 1}"
        project.edit("count: 4, prompt: deep.j2, languages: {en: 1}", same)
        project.edit(f"{same}, complexity: {{low: 1}}}}\ndataset", f"{same}, {MEDIUM}}}\ndataset")
        project.edit('forbid: ["as an AI"]', ONLY_TALK)
        good(project.run(*UNTIL))
        assert len(rows(project)) == 8 + 8
        shown = {(r.category, r.level, r.messages[-1].content) for r in desk(project).rows}
        assert shown == {("talk", "low", "Sadly, 1."), ("deep", "medium", "Sadly, 0.")}
        trained = {r["messages"][-1]["content"] for r in rows(project)}
        assert trained == {"Sadly, 1.", "Sadly, 0."}
        assert server.count == 8 + 8, "what both ask is paid for once"


MEDIUM = "complexity: {medium: 1}"
ONLY_TALK = 'words: false, duplicates: false, persona: {talk: {categories: [talk], forbid: ["0"]}}'

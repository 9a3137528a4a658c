"""What a review does in the next build: rows left out, edited or spared, nothing asked again."""

import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build.example import Example, Message, Origin
from jessy_build.recipe import review as reviews
from jessy_build.recipe.load import load
from jessy_build.steps import reviewed
from jessy_build.steps.builds import open_workspace
from jessy_build.steps.review import ANY_RULE, NO_RULE, Desk, Filter, Refused, fold, rows
from jessy_build.validators import Finding
from tests.loopback import messages_api
from tests.steps.project import Project, Ran

RECIPE = """\
recipe: 1
name: judged
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5}
  curated: {kind: curated, files: ["*.jsonl"]}
categories:
  talk: {teacher: claude, count: 6, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
  smalltalk: {teacher: curated, count: all}
train: {steps: 1}
dataset: {validate: {on_reject: drop}}
"""
LONG = "Hello to you" + ", and to all of you" * 5
BUILD = ("build", "recipe.yaml", "--until", "assemble")
SMALLTALK = [
    {"user": "selam", "assistant": "Selam kanka!", "language": "tr", "complexity": "low"},
    {"user": "Nasılsın?", "assistant": "İyiyim, sen?", "language": "tr", "complexity": "low"},
    {"user": "hey", "assistant": "Hey!", "language": "en", "complexity": "low"},
    {"user": "hey", "assistant": LONG, "language": "en", "complexity": "medium"},
]


@pytest.fixture
def project(tmp_path: Path, server: messages_api.MessagesServer) -> Project:
    project = Project.asking(tmp_path, server.url, RECIPE, ask="Say something, {{ ordinal }}.")
    write_rows(project, SMALLTALK)
    good(project.run(*BUILD))
    assert server.count == 6
    return project


def write_rows(project: Project, rows: list[dict[str, str]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (project.root / "rows.jsonl").write_text(text, encoding="utf-8")


def good(done: Ran) -> Ran:
    assert done.code == 0, done.out + done.err
    return done


def desk(project: Project) -> Desk:
    loaded = load(project.root / "recipe.yaml")
    workspace = open_workspace(loaded, project.environment())
    return Desk(rows(workspace), loaded.path, project.root / ".jessy/reviewing")


def decide(project: Project, saying: str, word: str, *texts: str) -> str:
    """About the first example whose answer is or holds this; returns its id."""
    at = desk(project)
    row = next(row for row in at.rows if saying in row.messages[-1].content)
    at.decide(row.id, row.text, word, list(texts) or None)
    return row.id


def trained(project: Project) -> dict[str, list[str]]:
    """Question → answers, of train and valid together."""
    found: dict[str, list[str]] = {}
    for split in ("train", "valid"):
        path = project.root / f"builds/judged/v1/dataset/{split}.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines():
            said = [m["content"] for m in json.loads(line)["messages"]]
            found.setdefault(said[0], []).append(said[1])
    return found


def status(project: Project) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(good(project.run("status", "recipe.yaml", "--json")).out)
    return document


def test_a_rejected_example_is_left_out_and_the_rules_say_so(
    project: Project, server: messages_api.MessagesServer
) -> None:
    assert "cevap: Say something, 3." in str(trained(project))
    id = decide(project, "something, 3", "reject")
    done = good(project.run(*BUILD))
    assert done.ran == ["validate", "assemble"], "a decision runs validate and what is behind it"
    assert server.count == 6, "and nothing is asked again"
    assert "something, 3." not in str(trained(project))
    assert status(project)["rejected"]["by_rule"]["review"] == 1
    shown = json.loads(good(project.run("show", id, "--json")).out)
    assert shown["rejected"] and shown["verdicts"][0]["rule"] == "review"


def test_what_a_category_lacks_counts_what_was_rejected_in_the_review(project: Project) -> None:
    assert "rows asked for" not in json.dumps(status(project))
    for number in (2, 3):
        decide(project, f"something, {number}", "reject")
    done = good(project.run(*BUILD))
    assert "'talk' has 4 of the 6 rows asked for" in done.out, done.out


def test_an_edited_example_trains_with_the_edited_text_and_says_so(project: Project) -> None:
    id = decide(project, "Selam kanka!", "edit", "selam", "Selam! Nasıl gidiyor?")
    good(project.run(*BUILD))
    assert trained(project)["selam"] == ["Selam! Nasıl gidiyor?"]
    shown = json.loads(good(project.run("show", id, "--json")).out)
    assert shown["messages"][1]["content"] == "Selam kanka!", "as the file has it"
    assert shown["edited"][1]["content"] == "Selam! Nasıl gidiyor?"
    told = good(project.run("show", id)).out
    assert "Edited in a review" in told and "Nasıl gidiyor?" in told


def test_an_edit_is_held_to_the_rules_as_any_text(project: Project) -> None:
    decide(project, "Selam kanka!", "edit", "selam", "x " * 200)
    good(project.run(*BUILD))
    assert "selam" not in trained(project)
    assert "words" in status(project)["rejected"]["by_rule"]


def test_what_is_taken_back_is_as_if_it_had_never_been(project: Project) -> None:
    before = trained(project)
    decide(project, "Selam kanka!", "reject")
    good(project.run(*BUILD))
    decide(project, "Selam kanka!", "open")
    done = good(project.run(*BUILD))
    assert done.ran == [], "the earlier result is found again"
    assert trained(project) == before
    assert not (project.root / "recipe.review.jsonl").exists()


def test_the_short_road_sees_a_first_decision_another_one_and_an_edit_of_the_file(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)

    def built() -> list[str]:
        ran = good(project.run("build", "recipe.yaml")).ran
        assert "Nothing to do" in project.run("build", "recipe.yaml").out
        assert "Nothing to do" in project.run("plan", "recipe.yaml").out
        return ran

    built()
    loaded = load(project.root / "recipe.yaml")
    at = Desk(rows(open_workspace(loaded, project.environment())), loaded.path, tmp_path / "lock")
    for row, word in zip(at.rows, ("reject", "accept"), strict=False):
        at.decide(row.id, row.text, word)
        assert built()[0] == "validate"
    path = project.root / "recipe.review.jsonl"
    path.write_text(path.read_text().replace("accept", "reject"))
    assert built()[:4] == ["validate", "assemble", "tokens", "train"]
    path.unlink()
    assert "validate" not in built(), "the first result is found again"


def test_a_plan_names_the_decision_and_the_file(project: Project) -> None:
    id = decide(project, LONG, "accept")
    done = good(project.run("plan", "recipe.yaml", "--until", "assemble"))
    assert f"review.{id}: nothing → accept   recipe.review.jsonl" in done.out
    good(project.run(*BUILD))
    why = good(project.run("why", "recipe.yaml", "validate")).out
    assert f"validate ran because review.{id}" in why


def test_a_plan_counts_the_decisions_of_a_long_evening(project: Project) -> None:
    at = desk(project)
    for row in at.rows[:8]:
        at.decide(row.id, row.text, "reject" if row.number % 2 else "accept")
    done = good(project.run("plan", "recipe.yaml", "--until", "assemble"))
    assert "review (8 examples): 0 decisions → 8 decisions   recipe.review.jsonl" in done.out


def test_of_two_rows_that_ask_the_same_only_the_one_that_was_judged_is_meant(
    project: Project,
) -> None:
    assert trained(project)["hey"] == ["Hey!"], "the first of two that ask the same stays"
    decide(project, "Hey!", "reject")
    good(project.run(*BUILD))
    assert trained(project)["hey"] == [LONG], "a rejected row displaces no other one"


def test_a_text_that_was_mended_since_was_never_judged(project: Project) -> None:
    id = decide(project, "Selam kanka!", "reject")
    good(project.run(*BUILD))
    mended = [{**SMALLTALK[0], "assistant": "Selam, hoş geldin!"}, *SMALLTALK[1:]]
    write_rows(project, mended)
    good(project.run(*BUILD))
    assert trained(project)["selam"] == ["Selam, hoş geldin!"]
    (row,) = [row for row in desk(project).rows if row.id == id]
    assert desk(project).told(row)["lapsed"] == "reject", "the page says that there was one"
    write_rows(project, SMALLTALK)
    good(project.run(*BUILD))
    assert "selam" not in trained(project), "and with the old text it holds again"


def test_a_review_survives_a_new_clone_and_a_lost_store(
    project: Project, server: messages_api.MessagesServer
) -> None:
    import shutil

    decide(project, "Selam kanka!", "reject")
    shutil.rmtree(project.root / ".jessy")
    good(project.run(*BUILD))
    assert "selam" not in trained(project)


def test_to_reject_is_no_broken_rule_where_those_end_a_build(project: Project) -> None:
    project.edit("on_reject: drop", "on_reject: fail, duplicates: false")
    decide(project, "Selam kanka!", "reject")
    good(project.run(*BUILD))
    assert "selam" not in trained(project)


def test_what_ends_a_build_is_flagged_and_can_be_rejected_there(project: Project) -> None:
    project.edit("on_reject: drop", "on_reject: fail")
    done = project.run(*BUILD)
    assert done.code == 1 and "asks the same as" in done.err
    at = desk(project)
    (flagged,) = at.page(Filter.of({"rule": "any"}), -1, 9)["rows"]
    assert flagged["flags"][0]["rule"] == "duplicates"
    at.decide(flagged["id"], flagged["text"], "reject")
    good(project.run(*BUILD))


def test_a_review_that_a_merge_has_broken_is_told_with_its_line(project: Project) -> None:
    decide(project, "Selam kanka!", "reject")
    at = desk(project)
    path = project.root / "recipe.review.jsonl"
    path.write_text("<<<<<<< HEAD\n" + path.read_text())
    done = project.run(*BUILD)
    assert done.code == 2 and "recipe.review.jsonl:1:1: error[R310]" in done.err
    with pytest.raises(Refused, match="1 has to be mended first"):
        at.decide(at.rows[0].id, at.rows[0].text, "accept")
    assert path.read_text().startswith("<<<<<<< HEAD"), "nothing is written over it"


def test_a_diff_of_two_builds_names_what_the_review_did(project: Project) -> None:
    decide(project, "Selam kanka!", "reject")
    good(project.run(*BUILD))
    done = project.run("diff", "build:1", "recipe.yaml")
    assert done.code == 10 and "validate" in done.out, done.out + done.err


# Rows and decisions

ROW = Example("a" * 16, "c", "t", "en", "low", (Message("user", "q"), Message("assistant", "a")),
              Origin("curated", "rows.jsonl:1"))  # fmt: skip


def decision(row: Example, word: Any, *messages: Message) -> reviews.Decision:
    text = reviews.text_of(row.messages)
    return reviews.Decision(row.id, text, row.category, word, "", messages)


def test_an_accepted_row_loses_its_warnings_and_no_error() -> None:
    other = ROW._replace(id="b" * 16, origin=Origin("curated", "rows.jsonl:2"))
    found = [
        Finding(row.id, "words", severity, "too long", row.origin.source)
        for row in (ROW, other)
        for severity in ("warning", "error")
    ]
    accepted = decision(ROW, "accept")
    judged = reviewed.applied([ROW, other], {accepted.about: accepted})
    kept = [(f.example_id[0], f.severity) for f in judged.findings(found, [ROW, other])]  # type: ignore[arg-type]
    assert kept == [("a", "error"), ("b", "warning"), ("b", "error")]


def test_rejections_stand_among_the_findings_in_the_order_of_the_rows() -> None:
    every = [ROW._replace(id=n * 16, origin=Origin("curated", f"r:{n}")) for n in "abc"]
    rejected = decision(every[1], "reject")
    judged = reviewed.applied(every, {rejected.about: rejected})
    found = [Finding(row.id, "words", "error", "", row.origin.source) for row in every[::2]]
    assert [f.example_id[0] for f in judged.findings(found, every)] == ["a", "b", "c"]
    assert [row.id[0] for row in judged.rows] == ["a", "c"]


def test_the_key_knows_the_decision_and_not_the_words_for_people() -> None:
    one = decision(ROW, "reject")
    plain = reviewed.params({one.about: one})
    assert plain == reviewed.params({one.about: one._replace(asked="something else")})
    assert plain != reviewed.params({one.about: one._replace(decision="accept")})
    assert reviewed.params({}) == {}, "without a review all keys are what they were"


# The desk


def test_the_page_is_filtered_by_everything(project: Project) -> None:
    at = desk(project)

    def found(**wanted: str) -> set[str]:
        page = at.page(Filter.of(wanted), -1, 50)
        assert page["total"] == len(page["rows"])
        return {row["messages"][1]["content"] for row in page["rows"]}

    assert len(found()) == 10
    assert len(found(category="talk")) == 6
    assert found(language="tr") == {"Selam kanka!", "İyiyim, sen?"}
    assert found(level="medium") == {LONG} == found(rule="duplicates")
    assert found(rule=ANY_RULE) == {LONG}
    assert len(found(rule=NO_RULE)) == 9
    assert found(q="NASILSIN") == {"İyiyim, sen?"} == found(q="iyiyim nasil")
    assert found(q="rows.jsonl:3") == {"Hey!"}
    at.decide(at.rows[0].id, at.rows[0].text, "reject")
    assert len(found(decision="open")) == 9 and len(found(decision="reject")) == 1


def test_pages_go_on_behind_a_row_whatever_was_decided_in_between(project: Project) -> None:
    at = desk(project)
    wanted = Filter.of({"decision": "open"})
    first = at.page(wanted, -1, 4)
    assert first["more"] and first["total"] == 10
    for row in first["rows"]:
        at.decide(row["id"], row["text"], "accept")
    second = at.page(wanted, first["rows"][-1]["number"], 50)
    assert [row["number"] for row in second["rows"]] == [4, 5, 6, 7, 8, 9], "none is passed over"
    assert not second["more"] and second["counts"]["accept"] == 4


def test_two_who_review_at_once_lose_nothing(project: Project) -> None:
    one, other = desk(project), desk(project)
    one.decide(one.rows[0].id, one.rows[0].text, "reject")
    other.decide(other.rows[1].id, other.rows[1].text, "accept")
    assert {d.decision for d in reviews.read(project.root / "recipe.yaml").decisions.values()} == {
        *("reject", "accept")
    }
    assert other.counts() == {"open": 8, "accept": 1, "reject": 1, "edit": 0}


def test_an_edit_that_changes_nothing_is_none(project: Project) -> None:
    at = desk(project)
    row = at.rows[0]
    same = [message.content for message in row.messages]
    assert at.decide(row.id, row.text, "edit", same)["row"]["decision"] == "open"


@pytest.mark.parametrize(
    "texts", [None, ["one"], ["q", ""], ["q", "  "], ["q", 1], ["q", "\ud800"]]
)
def test_an_edit_that_is_no_example_is_refused(texts: Any, project: Project) -> None:
    at = desk(project)
    with pytest.raises(Refused):
        at.decide(at.rows[0].id, at.rows[0].text, "edit", texts)
    assert not at.file.exists()


def test_search_knows_turkish_letters() -> None:
    assert fold("İSTANBUL Işık ÇOK Şey") == "istanbul isik cok sey" == fold("istanbul ışık çok şey")


def test_before_the_first_build_there_is_nothing_to_review(
    tmp_path: Path, server: messages_api.MessagesServer
) -> None:
    project = Project.asking(tmp_path, server.url, RECIPE, ask="x {{ ordinal }}")
    write_rows(project, SMALLTALK)
    done = project.run("review", "recipe.yaml", "--no-open")
    assert done.code == 1 and "jessy" not in done.out
    assert "build recipe.yaml --until validate" in done.err

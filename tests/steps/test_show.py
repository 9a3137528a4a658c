"""jessy show: one example, its messages, and everything about where it comes from."""

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.steps import asked, published
from tests.steps.asked import Teacher
from tests.steps.project import Project

UNTIL = ("build", "recipe.yaml", "--until", "assemble")


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    with Teacher() as teacher:
        project = asked.make(tmp_path_factory.mktemp("show") / "p", tiny_model, teacher)
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p", built.env)


def show(project: Project, word: str) -> dict[str, Any]:
    done = project.run("show", word, "--json")
    assert done.code == 0, done.out + done.err
    return published.read(done.out, "show")


def refused(project: Project, word: str) -> str:
    done = project.run("show", word)
    assert done.code == 1 and "Traceback" not in done.err, done.out + done.err
    return done.err


def test_an_answered_example_tells_the_whole_way_from_template_to_split(built: Project) -> None:
    item = show(built, "talk/thanks/en/low/7")
    prompt = "A line about thanks, number 7."
    assert item["messages"] == [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": f"cevap: {prompt}"},
    ]
    assert (item["category"], item["topic"], item["language"], item["level"]) == (
        *("talk", "thanks", "en", "low"),
    )
    assert item["asked"]["prompt"][-1] == ["user", prompt]
    assert item["asked"]["model"] == item["asked"]["answered_by"] == "claude-haiku-5-5"
    assert item["asked"]["provider"] == "anthropic" and item["teacher"] == "claude"
    assert item["asked"]["usage"] == {"input_tokens": 11, "output_tokens": 7}
    assert item["asked"]["request"] == item["source"] and len(item["source"]) == 64
    template = (built.root / "ask.j2").read_bytes()
    assert item["template"] == {"file": "ask.j2", "sha256": hashlib.sha256(template).hexdigest()}
    (holder,) = item["held_by"]
    rows = (built.root / f"builds/asked/v1/dataset/{holder['split']}.jsonl").read_text()
    assert holder["build"] == 1 and item["id"] in rows


def test_it_reads_well(built: Project) -> None:
    text = built.run("show", "talk/thanks/en/low/7").out
    assert re.match(r"[0-9a-f]{16}  talk/thanks/en/low/7\n", text)
    for line in (
        r"  user       A line about thanks, number 7\.",
        r"  assistant  cevap: A line about thanks, number 7\.",
        r"  model +claude-haiku-5-5 of anthropic",
        r"  request +[0-9a-f]{64}   sample \d+",
        r"  answered +\d{4}-\d\d-\d\d \d\d:\d\d in 0\.\d s   11 input tokens, 7 output tokens",
        r"  template +ask\.j2   sha256 [0-9a-f]{12}",
        r"  (train|valid) +in the data set of build:1 \(recipe\.yaml v1\)",
        r"What was asked:",
    ):
        assert re.search(f"^{line}$", text, re.M), line


def test_it_is_found_by_id_by_its_first_letters_and_by_its_slot(built: Project) -> None:
    item = show(built, "deep/deep/en/low/3")
    assert show(built, item["id"]) == show(built, item["id"][:10]) == item
    assert show(built, item["source"]) == item, "the digest of its request does, too"


def test_a_curated_row_is_found_by_its_line(built: Project) -> None:
    item = show(built, "rows.jsonl:3")
    assert item["messages"][0]["content"] == "hello number 2, how are you?"
    assert (item["source"], item["asked"], item["template"]) == ("rows.jsonl:3", None, None)
    assert show(built, item["slot"]) == item


def test_every_slot_of_the_data_leads_to_another_example(built: Project) -> None:
    slots = [f"talk/{topic}/en/low/{n}" for topic in ("greetings", "thanks") for n in range(12)]
    found = [show(built, slot) for slot in (slots[0], slots[11], slots[12], slots[23])]
    assert len({item["id"] for item in found}) == 4
    assert [item["slot"] for item in found] == [slots[0], slots[11], slots[12], slots[23]]
    assert "no example" in refused(built, "talk/thanks/en/low/12")


def test_first_letters_that_several_share_list_them(tiny_model: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    row = {"assistant": "an answer", "language": "en", "complexity": "low"}
    lines = (json.dumps({"user": f"question {n}?", **row}) + "\n" for n in range(1500))
    (project.root / "rows.jsonl").write_text("".join(lines))
    assert project.run("build", "recipe.yaml", "--until", "generate:smalltalk").code == 0
    ids = [show(project, f"rows.jsonl:{n}")["id"] for n in (1, 2)]
    stored = next(f for f in (project.root / ".jessy/objects").rglob("*") if has(f, ids[0]))
    every = [json.loads(line)["id"] for line in stored.read_text().splitlines()]
    letters, count = Counter(id[:4] for id in every).most_common(1)[0]
    assert count > 1, "1500 ids of 65536 beginnings"
    message = refused(project, letters)
    assert f"'{letters}' may mean {count} examples" in message
    assert all(id in message for id in every if id.startswith(letters))


def has(file: Path, text: str) -> bool:
    return file.is_file() and text.encode() in file.read_bytes()


def test_a_rejected_row_names_the_rule(tiny_model: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    rows = (project.root / "rows.jsonl").read_text().splitlines()
    rows[4] = rows[4].replace("fine, thanks a lot!", "no")
    (project.root / "rows.jsonl").write_text("\n".join(rows) + "\n")
    project.write((project.root / "recipe.yaml").read_text() + RULES)
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    item = show(project, "rows.jsonl:5")
    assert item["rejected"] is True and item["held_by"] == []
    assert item["verdicts"][0]["severity"] == "error"
    text = project.run("show", "rows.jsonl:5").out
    assert re.search(rf"^  rejected +{item['verdicts'][0]['rule']}: ", text, re.M)
    assert show(project, "rows.jsonl:4")["rejected"] is False


RULES = "dataset: {validate: {min_chars: 5, on_reject: drop}}\n"


def test_the_newest_build_that_has_it_is_told_and_older_data_is_still_found(
    project: Project,
) -> None:
    before = show(project, "rows.jsonl:3")
    path = project.root / "rows.jsonl"
    lines = path.read_text().splitlines()
    changed = lines[2].replace("fine, thanks", "better, thanks")
    path.write_text("\n".join([*lines[:2], changed, *lines[3:20]]) + "\n")
    assert project.run(*UNTIL).code == 0
    after = show(project, "rows.jsonl:3")
    assert after["id"] == before["id"] and after["messages"] != before["messages"]
    assert [h["build"] for h in after["held_by"]] == [2]
    gone = show(project, "rows.jsonl:24")
    assert [h["build"] for h in gone["held_by"]] == [1]


def test_an_answer_that_was_removed_leaves_what_is_known(project: Project) -> None:
    """Only the row itself is kept then: nothing is made up in place of the prompt."""
    item = show(project, "deep/deep/en/low/0")
    forget_answers(project)
    after = show(project, item["id"])
    assert after == {**item, "asked": None}
    assert "its answer is not in this store" in project.run("show", item["id"]).out


def forget_answers(project: Project) -> None:
    import sqlite3

    with sqlite3.connect(project.root / ".jessy/ledger.sqlite") as db:
        db.execute("delete from replies")


def test_a_damaged_row_is_never_shown_for_the_truth(project: Project) -> None:
    item = show(project, "rows.jsonl:3")
    for file in (project.root / ".jessy/objects").rglob("*"):
        if file.is_file() and item["id"].encode() in (data := file.read_bytes()):
            file.chmod(0o644)
            file.write_bytes(data.replace(b"number 2,", b"number X,"))
    message = refused(project, "rows.jsonl:3")
    assert "no longer here" in message


def test_what_is_not_there_is_one_clear_line(built: Project, tmp_path: Path) -> None:
    assert "hint: name it by an id" in refused(built, "nothing")
    done = Project(tmp_path).run("show", "abcdef")
    assert done.code == 1 and "nothing was built here yet" in done.err

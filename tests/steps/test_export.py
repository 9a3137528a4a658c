"""Rows of other tools come in, the built data set goes out: what a user sees of both."""

import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build import cli, formats
from tests.steps.project import Project, Ran
from tests.steps.test_every_field import Every

RECIPE = """\
recipe: 1
name: told
version: v1
base:
  model: path:base
persona:
  name: Ada
  system: system.j2
teachers:
  curated: {kind: curated, files: [rows.jsonl]}
  old: {kind: curated}
categories:
  small: {teacher: curated, count: all}
  talk: {teacher: old, count: 8}
  more: {teacher: old, count: all}
dataset:
  split: {train: 0.7, valid: 0.3}
  include:
    - files: [old.json]
      category: talk
      language: tr
    - files: [chat.jsonl]
      format: chat
      category: more
      system: drop
"""


def talk(n: int, answer: str = "fine") -> dict[str, Any]:
    turns = [{"from": "human", "value": f"how are you, {n}"}, {"from": "jessy", "value": answer}]
    return {"id": n, "conversations": turns, "metadata": {"topic": "old", "complexity": "low"}}


def chat(n: int) -> str:
    turns = [("system", "Be rude."), ("user", f"bye {n}"), ("assistant", "see you")]
    turns += [("user", "when"), ("assistant", "soon")]
    return json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}) + "\n"


TALK = json.dumps([talk(n) for n in range(8)], indent=1)
CHAT = "".join(map(chat, range(6)))
FILES = {
    "recipe.yaml": RECIPE,
    "system.j2": "You are {{ persona.name }}.",
    "rows.jsonl": "".join(f'{{"user": "hi {n}", "assistant": "yes"}}\n' for n in range(6)),
    "old.json": TALK,
    "chat.jsonl": CHAT,
    "below.yaml": "",
}


@pytest.fixture
def told(tmp_path: Path) -> Every:
    (tmp_path / "Justfile").touch()
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}", encoding="utf-8")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return built(Every(tmp_path, dict(FILES)))


def built(every: Every) -> Every:
    code, out = every.command("build", "--until", "assemble")
    assert code == cli.OK, out
    return every


def run(every: Every, *words: str) -> Ran:
    return Project(every.root).run("export", "recipe.yaml", *words)


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def test_included_rows_are_rows_of_their_category(told: Every) -> None:
    done = run(told, "-o", "out")
    assert done.code == cli.OK, done.err
    rows = rows_of(told.root / "out/train.jsonl") + rows_of(told.root / "out/valid.jsonl")
    sources = {row["source"]: row for row in rows}
    assert {f"old.json#{n}" for n in range(1, 9)} < sources.keys()
    assert {f"chat.jsonl:{n}" for n in range(1, 7)} < sources.keys()
    row = sources["old.json#3"]
    assert (row["category"], row["topic"], row["language"]) == ("talk", "old", "tr")
    assert row["teacher"] == "dataset.include" and "iterations" not in row
    assert [m["content"] for m in row["messages"]] == ["You are Ada.", "how are you, 2", "fine"]
    assert len(sources["chat.jsonl:1"]["messages"]) == 5


@pytest.mark.parametrize(
    ("file", "old", "new", "step", "change"),
    [
        (
            "old.json",
            TALK,
            json.dumps([talk(n, "good" if n == 4 else "fine") for n in range(8)]),
            "generate:talk",
            ("dataset.include.files", "old.json:5", "how are you, 4 | good"),
        ),
        ("chat.jsonl", "bye 2", "so long", "generate:more", ("", "chat.jsonl:3", "so long | see")),
        (
            "recipe.yaml",
            "language: tr",
            "language: en",
            "generate:talk",
            ("", "recipe.yaml:21", ""),
        ),
        ("recipe.yaml", "      language: tr\n", "", "generate:talk", ("", "recipe.yaml:", "")),
        (
            "recipe.yaml",
            "      system: drop\n",
            "      system: drop\n      topic: late\n",
            "generate:more",
            ("", "recipe.yaml:26", ""),
        ),
        (
            "recipe.yaml",
            "language: tr",
            "topic: none\n      own_labels: false",
            "generate:talk",
            ("", "recipe.yaml:", ""),
        ),
    ],
)
def test_an_edit_of_what_is_included_runs_its_category_and_is_named(
    told: Every, file: str, old: str, new: str, step: str, change: tuple[str, str, str]
) -> None:
    told.replace(file, old, new)
    code, out = told.command("plan", "--json", "--until", "assemble")
    assert code == cli.OK, out
    steps = {e["step"]: e for e in json.loads(out)["steps"] if e["decision"] == "run"}
    assert steps.keys() == {step}
    (named,) = steps[step]["changes"]
    assert named["field"].startswith("dataset.include")
    assert named["where"].startswith(change[1]) and change[2] in str(named["new"]), named


def test_other_rows_in_the_list_of_a_category_leave_the_others_alone(told: Every) -> None:
    told.replace("recipe.yaml", "category: more\n", "category: small\n")
    assert "no row of 'more'" in told.command("plan")[1]


@pytest.mark.parametrize("form", ["chat", "conversations"])
def test_what_export_wrote_is_built_to_the_same_data_set(told: Every, form: str) -> None:
    assert run(told, "--format", form, "-o", "out").code == cli.OK
    ending = {"chat": "jsonl", "conversations": "json"}[form]
    texts = [(told.root / f"out/{s}.{ending}").read_text("utf-8") for s in ("train", "valid")]
    head, _, _ = RECIPE.partition("teachers:")
    told.put(
        "recipe.yaml",
        f"{head}teachers: {{old: {{kind: curated}}}}\n"
        "categories: {small: {teacher: old, count: all}}\n"
        f"dataset: {{include: [{{files: ['out/[tv]*.{ending}'], format: {form}, category: small}}],"
        " split: {train: 1, valid: 0}}\n",
    )
    built(told)
    assert run(told, "--format", form, "-o", "again", "--columns", "none").code == cli.OK
    again = (told.root / f"again/train.{ending}").read_text("utf-8")
    key = {"chat": "messages", "conversations": "conversations"}[form]
    first = [row[key] for text in texts for row in parsed(text, form)]
    assert [row[key] for row in parsed(again, form)] == first and len(first) == 20


def parsed(text: str, form: str) -> list[Any]:
    if form == "conversations":
        return list(json.loads(text))
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_nothing_that_is_not_ours_is_written_over(told: Every) -> None:
    out = told.root / "out"
    assert run(told, "-o", "out").code == cli.OK
    assert run(told, "-o", "out", "--columns", "none").code == cli.OK, "an export of ours"
    assert rows_of(out / "train.jsonl")[0].keys() == {"messages"}
    (out / "notes.txt").write_text("mine")
    refused = run(told, "-o", "out")
    assert refused.code == cli.WRONG and "out/notes.txt is none of our files" in refused.err
    (out / "notes.txt").unlink()
    with (out / "train.jsonl").open("a") as file:
        file.write("mine\n")
    refused = run(told, "-o", "out")
    assert refused.code == cli.WRONG and "was changed since it was exported" in refused.err
    (out / "notes.txt").write_text("mine")
    assert run(told, "-o", "out", "--force").code == cli.OK
    assert (out / "notes.txt").read_text() == "mine"
    assert "mine" not in (out / "train.jsonl").read_text()
    (told.root / "file").write_text("mine")
    assert run(told, "-o", "file").code == cli.WRONG
    assert not list(told.root.glob(".*.new-*"))


@pytest.mark.parametrize("words", [("-o", "."), ("-o", "..", "--force"), ("-o", "/", "--force")])
def test_the_folder_one_is_in_is_refused_and_left_as_it_is(
    told: Every, words: tuple[str, ...]
) -> None:
    before = sorted(told.root.iterdir())
    done = run(told, *words)
    assert done.code == cli.WRONG and "is the folder you are in" in done.err, done.err
    assert sorted(told.root.iterdir()) == before


def test_what_a_format_has_no_place_for_leaves_nothing_behind(told: Every) -> None:
    done = run(told, "--format", "completions", "-o", "out")
    assert done.code == cli.FAILED and "a row has 2 questions" in done.err
    assert not list(told.root.glob("*out*"))


def test_a_data_set_that_is_not_built_is_said_to_be_so(told: Every) -> None:
    told.replace("old.json", "how are you, 3", "who are you")
    done = run(told, "-o", "out")
    assert done.code == cli.FAILED and "build recipe.yaml --until assemble" in done.err
    done = run(told, "--columns", "topik")
    assert done.code == cli.WRONG and "did you mean 'topic'?" in done.err


def test_the_document_says_what_lies_there(told: Every) -> None:
    done = run(told, "--json", "-o", "out", "--columns", "source,topic")
    said = json.loads(done.out)
    kept = json.loads((told.root / "out/export.json").read_text())
    assert {**kept, "folder": "out"} == said
    assert said["columns"] == ["topic", "source"] and sum(said["rows"].values()) == 20
    assert {file["path"] for file in said["files"]} == {"train.jsonl", "valid.jsonl"}
    assert said["written_as"] in formats.FORMATS


def test_parquet_goes_out_comes_in_again_and_is_the_same_data(told: Every) -> None:
    done = run(told, "--format", "parquet", "-o", "out")
    assert done.code == cli.OK, done.err
    assert {file.name for file in (told.root / "out").iterdir()} == {
        *("train.parquet", "valid.parquet", "README.md", "export.json")
    }
    assert run(told, "-o", "as-it-was").code == cli.OK
    block = "    - files: ['out/*.parquet']\n      format: parquet\n      category: back\n"
    for old, new in (
        ("  small: {teacher: curated, count: all}\n", "  back: {teacher: old, count: 20}\n"),
        ("  talk: {teacher: old, count: 8}\n  more: {teacher: old, count: all}\n", ""),
        (RECIPE[RECIPE.index("    - files: [old") :], block),
    ):
        told.replace("recipe.yaml", old, new)
    built(told)
    assert run(told, "-o", "back").code == cli.OK
    before, after = (
        [row for split in ("train", "valid") for row in rows_of(told.root / f"{d}/{split}.jsonl")]
        for d in ("as-it-was", "back")
    )
    assert {json.dumps(row["messages"]) for row in before} == {
        json.dumps(row["messages"]) for row in after
    }
    assert {row["source"].partition("#")[0] for row in after} == {
        *("out/train.parquet", "out/valid.parquet")
    }
    again = run(told, "--format", "parquet", "-o", "out")
    assert again.code == cli.OK, "an export of ours, written anew: " + again.err


def test_a_damaged_parquet_file_is_a_problem_with_no_excerpt_of_its_bytes(told: Every) -> None:
    (told.root / "broken.parquet").write_bytes(b"PAR1\nx" * 50)
    told.replace("recipe.yaml", "[old.json]", "[broken.parquet]\n      format: parquet")
    code, out = told.command("check")
    assert code == cli.WRONG
    assert "broken.parquet:1:1: error[D101]: the file cannot be read: it is no Parquet file" in out
    assert "PAR1" not in out

"""preview --tokens: what is shown is what is trained, token for token."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jessy_build import mlx_model
from jessy_build.chat import Chat
from jessy_build.console import PLAIN_SIGNS
from jessy_build.steps import schemas
from jessy_build.steps.row_tokens import Document
from jessy_build.trainers import _rows
from tests.steps.project import Project

RECIPE = ("preview", "recipe.yaml")
PREVIEW = (*RECIPE, "--tokens")
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "naber 🙂?"},
    {"role": "assistant", "content": "iyiyim,\n\tsağ ol 🎯"},
    {"role": "user", "content": "hello there"},
    {"role": "assistant", "content": "hello!"},
]
ROWS: list[Mapping[str, Any]] = [
    {"messages": TALK, "language": "tr", "complexity": "low"},
    {"user": "how are you?", "assistant": "fine, thanks!", "language": "en", "complexity": "low"},
    {"user": "what now?", "assistant": "of course!", "language": "en", "complexity": "low"},
]


def make(root: Path, tiny_model: Path) -> Project:
    project = Project.make(root, tiny_model)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (root / "rows.jsonl").write_text(text, encoding="utf-8")
    dataset = "dataset: {marker: '[{{ language }}] ', split: {train: 1, valid: 0}}\n"
    project.edit("train:\n", f"{dataset}train:\n")
    return project


def built(project: Project, until: str) -> None:
    done = project.run("build", "recipe.yaml", "--until", until)
    assert done.code == 0, done.out + done.err


def shown(project: Project, *words: str) -> dict[str, Any]:
    done = project.run(*RECIPE, *words, "--tokens", "--json")
    assert (done.code, done.err) == (0, ""), done.out + done.err
    document: dict[str, Any] = json.loads(done.out)
    return document


@pytest.fixture(scope="module")
def project(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With its base and its data set."""
    made = make(tmp_path_factory.mktemp("tokens") / "p", tiny_model)
    built(made, "convert")
    built(made, "assemble")
    return made


def test_ids_and_what_is_supervised_are_those_that_training_reads(project: Project) -> None:
    base = project.root / "base"
    tokenizer = mlx_model.tokenizer(base)
    file = project.root / "builds/tiny/v1/dataset/train.jsonl"

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    trained = _rows.read(file, Chat.load(base), encode, 2048)
    document = shown(project)
    assert document["rows_from"] == "assemble" and len(trained) == len(ROWS)
    for row, read in zip(document["rows"], trained, strict=True):
        assert row["id"] == read.id
        assert tuple(token["id"] for token in row["tokens"]) == read.tokens
        assert tuple(token["supervised"] for token in row["tokens"]) == read.trained
        assert (row["count"], row["supervised"]) == (len(read.tokens), read.supervised)
        assert row["share"] == pytest.approx(row["count"] / 2048)


def test_no_text_is_lost_be_a_letter_of_several_tokens(project: Project) -> None:
    row = shown(project)["rows"][0]
    said = "".join(token["text"] for token in row["tokens"])
    messages = [
        {**one, "content": "[tr] " + one["content"]} if one["role"] == "assistant" else one
        for one in TALK
    ]
    assert said + row["left_out"] == Chat.load(project.root / "base").render(messages)
    assert "" in [token["text"] for token in row["tokens"]], "an emoji is several tokens"
    learned = "".join(token["text"] for token in row["tokens"] if token["supervised"])
    assert learned == "[tr] iyiyim,\n\tsağ ol 🎯<|im_end|>[tr] hello!<|im_end|>"
    special = {token["text"] for token in row["tokens"] if token["special"]}
    assert special == {"<|im_start|>", "<|im_end|>"}


def test_before_there_is_a_data_set_curated_rows_are_shown_as_they_will_stand_in_it(
    project: Project, tiny_model: Path, tmp_path: Path
) -> None:
    bare = make(tmp_path / "p", tiny_model)
    built(bare, "convert")
    before, after = shown(bare), shown(project)
    assert before["rows_from"] == "curated"
    assert before["rows"] == after["rows"]
    assert "there is no data set yet" in bare.run(*PREVIEW).out


def test_in_a_pipe_and_without_colour_marks_say_what_is_learned(project: Project) -> None:
    for env in ({}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
        out = project.run(*PREVIEW, "-n", "1", **env).out
        assert "\x1b" not in out
        learned = [line for line in out.splitlines() if line.startswith("  + │")]
        assert learned[0].startswith("  + │[│t│r│]") and learned[0].endswith("↵│")
        assert learned[-1].endswith("│«<|im_end|>»│")
        assert "⇥" in learned[1] and "◌" in learned[1]
        assert not any("im_start" in line for line in learned)
    assert "\x1b[32m" in project.run(*PREVIEW, FORCE_COLOR="1", NO_COLOR="").out


def test_each_sign_has_a_plain_form_where_only_ascii_can_be_shown(project: Project) -> None:
    words = (*PREVIEW, "-n", "2")
    rich = project.run(*words).out.translate(PLAIN_SIGNS).splitlines()
    plain = project.run(*words, PYTHONIOENCODING="ascii").out.splitlines()
    # The user's own letters have none; the row that has some is the first one.
    assert plain[0] == rich[0] and rich[0].isascii()
    second = rich.index("", 3)
    assert plain[second:] == rich[second:] and "|_thank|" in "".join(plain[second:])


def test_so_many_rows_of_the_named_categories(project: Project) -> None:
    assert len(shown(project, "-n", "2")["rows"]) == 2
    assert len(shown(project, "smalltalk", "-n", "1")["rows"]) == 1


def test_a_row_that_is_too_long_is_shown_and_told(project: Project) -> None:
    done = project.run(*PREVIEW, "--set", "train.max_seq_length=16")
    assert done.code == 0, done.err
    assert "of train.max_seq_length 16: too long, a build stops here" in done.out


def test_a_missing_base_is_told_with_the_command_that_makes_it(
    tiny_model: Path, tmp_path: Path
) -> None:
    done = make(tmp_path / "p", tiny_model).run(*PREVIEW)
    assert (done.code, done.out) == (1, "")
    assert "the base of recipe.yaml is not in the store" in done.err
    assert "build recipe.yaml --until convert" in done.err


def test_rows_that_are_still_to_be_asked_are_told(tiny_model: Path, tmp_path: Path) -> None:
    project = make(tmp_path / "p", tiny_model)
    project.edit("teachers:\n", "teachers:\n  claude: {kind: anthropic, model: claude-haiku-5-5}\n")
    asked = "{teacher: claude, count: 2, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}"
    project.edit("categories:\n", f"categories:\n  talk: {asked}\n")
    (project.root / "ask.j2").write_text("A line.")
    built(project, "convert")
    done = project.run(*RECIPE, "talk", "--tokens")
    assert (done.code, done.out) == (1, "")
    assert "there are no rows to show of talk" in done.err
    assert "build recipe.yaml --until assemble" in done.err
    assert shown(project)["without"] == ["talk"]
    assert "No rows yet of talk." in project.run(*PREVIEW).out


def test_what_is_printed_fits_its_schema(project: Project) -> None:
    document = shown(project)
    TypeAdapter(Document).validate_json(json.dumps(document))
    schema = json.loads(schemas.SCHEMAS["tokens"]())
    assert schema["properties"].keys() == document.keys()
    assert schema["$defs"]["Row"]["properties"].keys() == document["rows"][0].keys()
    token = document["rows"][0]["tokens"][0]
    assert schema["$defs"]["Token"]["properties"].keys() == token.keys()

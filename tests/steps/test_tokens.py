"""tokens: rows that training would refuse are told before it, all at once, each with its token."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.steps.project import Project

LONG = "the quick brown fox jumps over the lazy dog"
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}now: {% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nnow: {% endif %}"
)
DEAF = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return Project.make(tmp_path / "p", tiny_model)


def write(project: Project, *talks: tuple[str, ...]) -> None:
    rows = []
    for texts in talks:
        roles = ("user", "assistant") * len(texts)
        said = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
        rows.append({"messages": said, "language": "en", "complexity": "low"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (project.root / "rows.jsonl").write_text(lines, encoding="utf-8")


def refused(project: Project, *words: str) -> str:
    done = project.run("build", "recipe.yaml", *words)
    assert done.code == 1, done.out + done.err
    assert "assemble" in done.ran and "tokens" not in done.ran
    assert "train " not in done.out, "nothing is trained"
    return done.err


def test_all_rows_that_are_too_long_are_told_with_place_limit_and_token(project: Project) -> None:
    write(project, ("yo", "yo"), (LONG, LONG), ("you", "me"), (f"see: {LONG}", LONG))
    said = refused(project, "--set", "train.max_seq_length=24")
    assert "2 of 4 rows cannot be trained on as they are; nothing is trained:" in said
    for line in (2, 4):
        assert f"  rows.jsonl:{line}:1: row " in said
    assert "of smalltalk is 44 tokens long; train.max_seq_length allows 24" in said
    assert said.count("expected: at most 24 tokens") == 2
    assert "got: 44 tokens, with token 25 'is', behind '\\n<|im_start|>ass'" in said
    assert "hint: raise train.max_seq_length, or shorten or drop the row\n" in said
    assert said.index("rows.jsonl:2:") < said.index("rows.jsonl:4:"), "as they are written"
    assert "rows.jsonl:1:" not in said and "rows.jsonl:3:" not in said


def test_a_template_that_rewrites_turns_is_told_with_the_token_that_is_another(
    project: Project,
) -> None:
    (project.root / "forgetful.jinja").write_text(FORGETFUL, encoding="utf-8")
    project.edit('{model: "path:base"}', '{model: "path:base", chat_template: forgetful.jinja}')
    write(project, ("hi there", "fine"), ("hello", "good", "and you?", "thanks"), ("yo", "yo"))
    said = refused(project)
    assert "1 of 3 rows cannot be trained on as it is" in said
    assert "rows.jsonl:2:1: row " in said and "is rewritten: the chat template renders" in said
    assert "expected: message 1 as it was rendered before" in said
    assert "got: token 18 'g', where token 18 'n' was, behind 'tant\\n'" in said
    assert "hint: train on one answer a row, or set base.chat_template" in said


def test_a_row_of_which_the_template_shows_no_answer_is_told(project: Project) -> None:
    (project.root / "deaf.jinja").write_text(DEAF, encoding="utf-8")
    project.edit('{model: "path:base"}', '{model: "path:base", chat_template: deaf.jinja}')
    write(project, ("hello there", "fine"))
    said = refused(project)
    assert "of smalltalk has no answer to train on" in said
    assert "expected: a token behind the first one that an answer holds" in said
    assert "tokens, with token " in said


def test_of_very_many_bad_rows_a_file_holds_all(project: Project) -> None:
    write(project, *[(f"{LONG} {n}", LONG) for n in range(60)])
    said = refused(project, "--set", "train.max_seq_length=20")
    assert said.count("rows.jsonl:") == 50
    assert "60 of 60 rows" in said and "and 10 more, which stand in " in said
    (file,) = (project.root / ".jessy").rglob("refused.txt")
    assert str(file) in said
    assert file.read_text(encoding="utf-8").count("rows.jsonl:") == 60


def test_the_data_set_is_let_through_as_it_is_so_another_check_trains_nothing(
    project: Project,
) -> None:
    built = project.run("build", "recipe.yaml", "--until", "train")
    assert built.code == 0, built.err
    assert "tokens, " in built.out and "learned, the longest row " in built.out
    code = "import sys; from jessy_build import cli; from jessy_build.steps import tokens"
    newer = f"{code}; tokens.version += 1; cli.main(sys.argv[1:])"
    again = subprocess.run(
        [sys.executable, "-c", newer, "build", "recipe.yaml", "--until", "train"],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0, again.stderr
    assert "✓ tokens" in again.stdout and "✓ train" not in again.stdout

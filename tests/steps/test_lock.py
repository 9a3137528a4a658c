"""The lock file: what a version is, for git; the same bytes whenever and however it was built."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.ledger import Ledger
from jessy_build.recipe.paths import Folder, Ground, glob
from jessy_build.steps import lock_format
from jessy_build.steps.blocks import Block
from jessy_build.steps.lock_format import Lock
from tests import structure
from tests.loopback import messages_api
from tests.steps.project import Project

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"
LOCK = "recipe.lock.yaml"
ALL = {
    *("fetch", "convert", "generate:smalltalk", "validate", "assemble"),
    *("tokens", "train", "fuse", "gguf", "parity", "evaluate", "deploy"),
}
"""Not the report: it hangs on every other step, so no two branches would agree about it."""


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built once, whole; tests that change it take a copy."""
    project = Project.make(tmp_path_factory.mktemp("built") / "p", tiny_model)
    done = project.run("build", "recipe.yaml", OLLAMA_HOST="127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p")


@pytest.fixture
def data_only(tmp_path: Path) -> Project:
    """Up to the data set, with no model to train."""
    project = Project.make(tmp_path / "p", _empty(tmp_path / "base"))
    assert project.run("build", "recipe.yaml", "--until", "assemble").code == 0
    return project


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def text(project: Project) -> str:
    return (project.root / LOCK).read_text(encoding="utf-8")


def read(project: Project) -> Lock:
    return lock_format.read(project.root / LOCK, LOCK)


def test_a_build_leaves_a_block_for_each_step_with_the_key_that_the_store_has(
    built: Project,
) -> None:
    lock = read(built)
    ledger = Ledger(built.root / ".jessy" / "ledger.sqlite")
    (build,) = ledger.builds()
    made = {step: key for step, key in build.steps.items() if step != "report"}
    assert {step: block.key for step, block in lock.steps.items()} == made
    assert set(lock.steps) == ALL
    assert (lock.name, lock.version) == ("tiny", "v1")


def test_blocks_name_the_files_that_people_take(built: Project) -> None:
    steps, folder = read(built).steps, built.root / "builds/tiny/v1"
    for step, name, path in (
        ("gguf", "file", "model.gguf"),
        ("train", "adapter", "adapter/adapters.safetensors"),
        ("deploy", "modelfile", "Modelfile"),
    ):
        told, file = steps[step].figures[name], folder / path
        assert told == {"bytes": file.stat().st_size, "sha256": digest.of_file(file)}
    for part in ("train", "valid"):
        file = folder / f"dataset/{part}.jsonl"
        rows = len(file.read_text().splitlines())
        assert steps["assemble"].figures[part] == {"rows": rows, "sha256": digest.of_file(file)}
    assert steps["fetch"].figures["source"] == ["path:base"]
    assert steps["fetch"].figures["sha256"] == digest.of_file(built.root / "base/model.safetensors")
    rows = steps["generate:smalltalk"].figures
    assert rows == {"teacher": "curated", "kind": "curated", "rows": 24}
    assert steps["evaluate"].figures["prompts"] == 2
    assert steps["train"].figures["validation_loss"] > 0
    assert steps["deploy"].figures["model"] == "tiny:v1"


def test_steps_stand_in_one_order_with_a_blank_line_between_them(built: Project) -> None:
    lines = text(built).splitlines()
    heads = [line.strip()[:-1] for line in lines if line.startswith("  ") and line[2] != " "]
    assert heads == sorted(ALL)
    assert all(len(line) <= 100 for line in lines)
    for number, line in enumerate(lines):
        if line in [f"  {head}:" for head in heads[1:]]:
            assert lines[number - 1] == ""


def test_a_lock_fits_its_published_schema_and_plain_yaml_reads_it_alike(built: Project) -> None:
    schema = json.loads((SCHEMAS / "lock.schema.json").read_text())
    plain = yaml.safe_load(text(built))
    assert structure.problems(plain, schema) == []
    assert {step: block["key"] for step, block in plain["steps"].items()} == {
        step: block.key for step, block in read(built).steps.items()
    }
    plain["steps"]["train"]["seconds"] = 4
    assert structure.problems(plain, schema) == ["$.steps.train.seconds is not known"]


def test_built_from_nothing_again_it_is_the_same_to_the_byte(
    project: Project, built: Project
) -> None:
    for name in (".jessy", "builds"):
        shutil.rmtree(project.root / name)
    (project.root / LOCK).unlink()
    # In parts, too: how often one builds says nothing of what a version is.
    for words in (("--until", "assemble"), ("--until", "fuse"), ()):
        done = project.run("build", "recipe.yaml", *words, OLLAMA_HOST="127.0.0.1:9")
        assert done.code == 0, done.err
    assert text(project) == text(built)


def test_a_build_with_nothing_to_do_leaves_the_file_alone(project: Project) -> None:
    before = (project.root / LOCK).stat()
    (project.root / "recipe.yaml").write_text(
        (project.root / "recipe.yaml").read_text() + "# a remark\n"
    )
    assert project.run("build", "recipe.yaml").ran == []
    after = (project.root / LOCK).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_lock_is_an_input_of_nothing(project: Project) -> None:
    (project.root / LOCK).write_text("nothing of use")
    assert project.run("plan", "recipe.yaml", "--exit-code").code == 0
    (project.root / LOCK).unlink()
    assert project.run("plan", "recipe.yaml", "--exit-code").code == 0


def test_a_lock_that_was_taken_away_comes_back(project: Project, built: Project) -> None:
    assert project.run("build", "recipe.yaml").code == 0
    (project.root / LOCK).unlink()
    assert project.run("build", "recipe.yaml").ran == []
    assert text(project) == text(built)


def test_until_a_step_keeps_the_blocks_that_are_still_true(project: Project) -> None:
    before = read(project).steps
    project.edit("temperature: 0.2", "temperature: 0.9")
    assert project.run("build", "recipe.yaml", "--until", "gguf").ran == []
    kept = read(project).steps
    assert set(kept) == ALL - {"deploy"}
    assert kept == {step: before[step] for step in kept}

    project.edit("rank: 4", "rank: 2")
    assert project.run("build", "recipe.yaml", "--until", "assemble").ran == []
    assert set(read(project).steps) == {
        *("fetch", "convert", "generate:smalltalk", "validate", "assemble", "tokens"),
    }


def test_a_failed_build_writes_what_it_finished(data_only: Project) -> None:
    whole = read(data_only).steps
    assert set(whole) == {"generate:smalltalk", "validate", "assemble"}
    rows = data_only.root / "rows.jsonl"
    rows.write_text(rows.read_text() + rows.read_text().splitlines()[0] + "\n")
    failed = data_only.run("build", "recipe.yaml", "--until", "assemble")
    assert failed.code == 1
    left = read(data_only).steps
    assert set(left) == {"generate:smalltalk"}
    assert left["generate:smalltalk"].figures["rows"] == 25


def test_overrides_write_no_lock(data_only: Project) -> None:
    before = text(data_only)
    words = ("build", "recipe.yaml", "--until", "assemble", "--set", "dataset.seed=7")
    assert data_only.run(*words).ran == ["assemble"]
    assert text(data_only) == before


# What it costs

RECIPE = """\
recipe: 1
name: asked
version: v1
base: {model: "path:base"}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    prices: {input: 1.0, output: 5.0, as_of: 2026-11-01}
categories:
  talk: {teacher: claude, count: 20, prompt: ask.j2, languages: {en: 1}, complexity: {low: 1}}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Project]:
    with messages_api.MessagesServer() as server:
        env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
        project = Project(tmp_path / "p", env)
        (tmp_path / "p" / "base").mkdir(parents=True)
        (tmp_path / "p" / "Justfile").touch()
        (tmp_path / "p" / "ask.j2").write_text("A line of talk, number {{ ordinal }}.")
        project.write(RECIPE)
        yield project


def test_the_cost_is_that_of_the_answers_in_the_data_set_and_not_of_this_run(
    asked: Project,
) -> None:
    assert asked.run(*UNTIL).code == 0
    twenty = text(asked)
    talk = read(asked).steps["generate:talk"].figures
    # The teacher on loopback bills 11 tokens for a question and 7 for an answer.
    assert talk["tokens"] == {"input": 20 * 11, "output": 20 * 7}
    assert talk["usd"] == pytest.approx((20 * 11 * 1.0 + 20 * 7 * 5.0) / 1e6)
    assert (talk["model"], talk["rows"]) == ("claude-haiku-5-5", 20)

    asked.edit("count: 20", "count: 30")
    assert asked.run(*UNTIL).code == 0
    assert read(asked).steps["generate:talk"].figures["tokens"] == {"input": 330, "output": 210}
    asked.edit("count: 30", "count: 20")
    assert asked.run(*UNTIL).code == 0
    assert text(asked) == twenty


def test_without_prices_no_dollars_are_made_up(asked: Project) -> None:
    asked.edit("    prices: {input: 1.0, output: 5.0, as_of: 2026-11-01}\n", "")
    assert asked.run(*UNTIL).code == 0
    assert "usd" not in read(asked).steps["generate:talk"].figures
    assert "tokens" in read(asked).steps["generate:talk"].figures


def test_no_secret_host_or_time_stands_in_it(asked: Project) -> None:
    assert asked.run(*UNTIL).code == 0
    told = text(asked)
    for word in ("sk-ant", "127.0.0.1", "second", str(asked.root)):
        assert word not in told
    assert not re.search(r"\d\d:\d\d|20\d\d-\d\d", told)


# Trouble


def test_a_lock_with_the_marks_of_a_merge_is_written_anew(data_only: Project) -> None:
    whole = text(data_only)
    torn = whole.replace("steps:\n", "steps:\n<<<<<<< HEAD\n=======\n>>>>>>> other\n")
    (data_only.root / LOCK).write_text(torn)
    assert data_only.run("build", "recipe.yaml", "--until", "assemble").code == 0
    assert text(data_only) == whole


def test_a_file_of_that_name_which_is_not_ours_is_left_alone(data_only: Project) -> None:
    (data_only.root / LOCK).write_text("dependencies: [flour, water]\n")
    done = data_only.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0
    assert "recipe.lock.yaml is no lock file of ours, and is left as it is" in done.out
    assert text(data_only) == "dependencies: [flour, water]\n"


def test_a_build_is_no_worse_for_a_lock_that_cannot_be_written(data_only: Project) -> None:
    (data_only.root / LOCK).unlink()
    (data_only.root / LOCK).mkdir()
    done = data_only.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0 and "recipe.lock.yaml could not be written" in done.out


def test_a_lock_is_no_recipe_and_that_is_said(data_only: Project) -> None:
    done = data_only.run("build", LOCK)
    assert done.code == 2
    assert "recipe.lock.yaml:1:1: error[R019]: this is a lock file" in done.err
    assert "hint: name its recipe, recipe.yaml" in done.err


def test_no_pattern_of_a_recipe_matches_a_lock(tmp_path: Path) -> None:
    for name in ("rows.yaml", "recipe.lock.yaml", ".recipe.lock.yaml.new"):
        (tmp_path / name).touch()
    folder, ground = Folder(tmp_path, ""), Ground(tmp_path)
    assert [found.shown for found in glob("*", folder, ground)] == ["rows.yaml"]


# The text

KEY = "ab" * 32
GOOD = f"lock: 1\nname: jessy\nversion: v1\nsteps:\n  fetch:\n    key: {KEY}\n"

BROKEN = [
    ("lock: 1", "lock: 2", "x.lock.yaml:1:7", "lock: 1, the format that this version writes"),
    ("name: jessy", "name: [jessy]", "x.lock.yaml:2:7", "expected: a text"),
    ("version: v1\n", "", "x.lock.yaml:1:1", "'version' is missing"),
    (f"key: {KEY}", "key: abab", "x.lock.yaml:6:10", "expected: 64 hex digits"),
    (f"key: {KEY}", f"keys: {KEY}", "x.lock.yaml:6:5", "did you mean 'key'?"),
    (f"key: {KEY}", f"key: {KEY}\n    rows: many", "x.lock.yaml:7:11", "a whole number"),
    (f"key: {KEY}", f"key: {KEY}\n    file: {{bytes: 3}}", "x.lock.yaml:7:11", "'sha256'"),
    (f"key: {KEY}", f"key: {KEY}\n    key: {KEY}", "x.lock.yaml:7:5", "written twice"),
    ("steps:\n", "steps:\n<<<<<<< HEAD\n", "x.lock.yaml:5:1", "missing"),
    (GOOD, "", "x.lock.yaml:1:1", "the file is empty"),
]


@pytest.mark.parametrize(("old", "new", "place", "words"), BROKEN)
def test_a_broken_lock_is_told_with_its_place(old: str, new: str, place: str, words: str) -> None:
    assert old in GOOD
    lock_format.parse(GOOD, "x.lock.yaml")
    with pytest.raises(StepError) as raised:
        lock_format.parse(GOOD.replace(old, new), "x.lock.yaml")
    assert place in raised.value.problem and words in raised.value.problem
    assert "take it from git again, or build" in raised.value.hint


@pytest.mark.parametrize("word", ["1.0", "1e5", "yes", "null", "0x1f", "v1", "1_000", "12:30", "."])
def test_a_word_comes_back_as_the_word_it_was(word: str) -> None:
    block = Block(KEY, None, {"teacher": word, "rows": 3, "usd": 0.000001})
    lock = Lock("jessy", word, {"generate:a-b_c": block})
    written = lock_format.text_of(lock)
    assert lock_format.parse(written, "x") == lock
    assert yaml.safe_load(written)["version"] == word

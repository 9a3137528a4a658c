"""A shared store as its users meet it: a clean clone builds without asking and without training."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.loopback.messages_api import MessagesServer
from tests.loopback.s3_api import BUCKET, SECRET, S3Server
from tests.steps.project import Project

ASKING = """\
recipe: 1
name: tiny
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  talk:
    teacher: claude
    count: 20
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 10, thanks: 10}
dataset: {validate: {duplicates: false}}
train:
  lora: {rank: 4, alpha: 8}
  steps: 4
  batch_size: 4
deploy:
  ollama: {model: tiny}
evaluate:
  prompts: [hello]
  max_tokens: 6
"""
KEY = "sk-ant-test-0123456789"
STEPS = 13


@dataclass
class Team:
    """Clones of one project that share a store, and the teacher that all of them ask."""

    root: Path
    base: Path
    teacher: MessagesServer
    address: str

    def clone(self, name: str, **env: str) -> Project:
        shared = {"JESSY_SHARED_STORE": self.address, **env}
        keys = {"ANTHROPIC_BASE_URL": self.teacher.url, "ANTHROPIC_API_KEY": KEY}
        # A port that nothing listens on.
        keys["OLLAMA_HOST"] = "http://127.0.0.1:9"
        project = Project.make(self.root / name, self.base, **shared, **keys)
        (project.root / "ask.j2").write_text("A line about {{ topic.name }}, number {{ ordinal }}.")
        project.write(ASKING)
        return project


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Team]:
    """Built whole by one of them: the store in a folder is warm."""
    root = tmp_path_factory.mktemp("team")
    with MessagesServer() as teacher:
        team = Team(root, tiny_model, teacher, str(root / "shared"))
        first = team.clone("first")
        done = first.run("build", "recipe.yaml")
        assert done.code == 0 and teacher.count == 20, done.out + done.err
        yield team


@pytest.fixture
def team(warm: Team, tmp_path: Path) -> Team:
    """The same, with a copy of the shared store to do harm to."""
    shutil.copytree(warm.address, tmp_path / "shared")
    return Team(tmp_path, warm.base, warm.teacher, str(tmp_path / "shared"))


def results(project: Project) -> dict[str, bytes]:
    folder = project.root / "builds/tiny/v1"
    return {
        p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "report" not in p.name
    }


def test_a_clean_clone_asks_nothing_and_trains_nothing(warm: Team, team: Team) -> None:
    clone = team.clone("clone")
    before = team.teacher.count
    plan = clone.run("plan", "recipe.yaml")
    assert plan.code == 0 and f"all {STEPS} steps are cached" in plan.out, plan.out + plan.err
    assert not any((clone.root / ".jessy/objects").rglob("*")), "a plan takes rows only"
    done = clone.run("build", "recipe.yaml", "--json")
    assert done.code == 0, done.out + done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [e["step"] for e in events if e["event"] == "step_started"] == []
    assert len([e for e in events if e["event"] == "step_reused"]) == STEPS
    assert team.teacher.count == before
    assert results(clone) == results(Project(warm.root / "first"))
    assert "the same" in clone.run("diff", "build:1", "recipe.yaml").out
    assert clone.run("chat", "recipe.yaml", "--prompt", "hello").code == 0
    row = json.loads(results(clone)["train.jsonl"].splitlines()[0])
    shown = clone.run("show", row["id"])
    assert "claude-haiku-5-5" in shown.out and "A line about" in shown.out, shown.out + shown.err

    clone.edit("count: 20", "count: 30")
    clone.edit("{greetings: 10, thanks: 10}", "{greetings: 15, thanks: 15}")
    assert "10 to ask" in clone.run("plan", "recipe.yaml").out
    done = clone.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0 and team.teacher.count == before + 10

    third = team.clone("third")
    third.edit("count: 20", "count: 30")
    third.edit("{greetings: 10, thanks: 10}", "{greetings: 15, thanks: 15}")
    done = third.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0 and done.ran == [] and team.teacher.count == before + 10


def test_large_files_that_no_step_reads_stay_where_they_are(team: Team) -> None:
    clone = team.clone("clone")
    assert clone.run("build", "recipe.yaml").ran == []
    here = {
        p.parent.name + p.name for p in (clone.root / ".jessy/objects").rglob("*") if p.is_file()
    }
    for step, (_, tree) in rows(team).items():
        files = {sha256 for sha256, _ in tree.values()}
        if step in ("fuse", "convert"):
            assert not files & here, step
        if step in ("gguf", "train", "deploy", "report", "assemble", "generate:talk", "evaluate"):
            assert files <= here, step


def test_a_change_in_a_clone_runs_only_what_depends_on_it(team: Team) -> None:
    clone = team.clone("clone")
    clone.edit("max_tokens: 6", "max_tokens: 5")
    done = clone.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert done.ran == ["evaluate", "report"]


DAMAGED = {
    # what is damaged → steps of a clean clone that run again
    "the adapter": ("train", "adapters.safetensors", ["train"]),
    "the data set": ("assemble", "train.jsonl", ["assemble"]),
    "the row of train": ("train", None, ["train"]),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_in_the_shared_store_is_named_and_made_again(
    warm: Team, team: Team, what: str
) -> None:
    """One byte is enough: what it belongs to is made again, the rest is taken, no answer asked."""
    step, path, runs = DAMAGED[what]
    row, tree = rows(team)[step]
    file = row if path is None else stored(team, tree[path][0])
    flip(file)
    clone = team.clone("clone")
    before = team.teacher.count
    done = clone.run("build", "recipe.yaml")
    assert done.code == 0 and "damaged in the shared store" in done.out, done.out + done.err
    # What is made again may come out the same, and then nothing behind it runs.
    assert done.ran[:1] == runs and team.teacher.count == before
    assert results(clone)["train.jsonl"] == results(Project(warm.root / "first"))["train.jsonl"]
    again = team.clone("again").run("build", "recipe.yaml")
    assert again.code == 0 and again.ran == [], "it was mended there as well"


def test_a_shared_store_that_is_damaged_all_over_is_as_good_as_none(team: Team) -> None:
    for file in Path(team.address).rglob("*"):
        if file.is_file():
            flip(file)
    clone = team.clone("clone")
    before = team.teacher.count
    done = clone.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    assert len(done.ran) == STEPS and team.teacher.count == before + 20
    again = team.clone("again")
    assert again.run("build", "recipe.yaml").ran == []
    assert results(again) == results(clone)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes() or b"not empty")
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def rows(team: Team) -> dict[str, tuple[Path, Any]]:
    """Step → the file of its row, and its tree."""
    found = {}
    for file in Path(team.address).rglob("*.json"):
        row = json.loads(file.read_bytes().partition(b"\n")[2])
        found[row["step"]] = (file, row["tree"])
    return found


def stored(team: Team, sha256: str) -> Path:
    return Path(team.address) / "v1/objects" / sha256[:2] / sha256[2:]


def test_the_recipe_may_name_the_store_and_the_environment_wins(team: Team) -> None:
    clone = team.clone("clone", JESSY_SHARED_STORE="")
    clone.write(ASKING + f"store: {team.address}\n")
    assert "steps are cached" in clone.run("plan", "recipe.yaml").out
    other = team.clone("other", JESSY_SHARED_STORE=str(team.root / "empty"))
    other.write(ASKING + f"store: {team.address}\n")
    plan = other.run("plan", "recipe.yaml").out
    assert "2 to run, 11 may run" in plan and "cached" not in plan, "the empty store was asked"
    assert "the same" in clone.run("diff", "recipe.yaml", str(other.root / "recipe.yaml")).out


def test_a_store_out_of_reach_warns_once_and_builds_here(team: Team) -> None:
    clone = team.clone("clone", JESSY_SHARED_STORE=str(team.root / "not/mounted"))
    plan = clone.run("plan", "recipe.yaml")
    assert plan.code == 0 and plan.err.count("not/mounted") == 1
    done = clone.run("build", "recipe.yaml", "--until", "assemble")
    assert done.code == 0 and (done.out + done.err).count("not/mounted") == 1


def test_an_address_that_cannot_be_used_is_one_clear_line(team: Team) -> None:
    for address in (f"s3://AKIA:{SECRET}@bucket/x", "ftp://somewhere"):
        done = team.clone(f"clone{len(address)}", JESSY_SHARED_STORE=address).run(
            "plan", "recipe.yaml"
        )
        assert done.code == 1 and "shared store" in done.err and "Traceback" not in done.err
        assert SECRET not in done.out + done.err


def test_doctor_says_whether_the_shared_store_answers(team: Team) -> None:
    clone = team.clone("clone")
    assert "✓ shared store" in clone.run("doctor").out
    clone.env = {**clone.env, "JESSY_SHARED_STORE": str(team.root / "not/mounted")}
    assert "not/mounted: there is no such folder" in clone.run("doctor").out


def test_naming_a_shared_store_later_brings_there_what_was_built_before(team: Team) -> None:
    address = str(team.root / "late")
    first = team.clone("first", JESSY_SHARED_STORE="")
    until = ("build", "recipe.yaml", "--until", "assemble")
    before = team.teacher.count
    assert first.run(*until).code == 0 and team.teacher.count == before + 20
    first.env = {**first.env, "JESSY_SHARED_STORE": address}
    assert first.run(*until).ran == []
    second = team.clone("second", JESSY_SHARED_STORE=address)
    assert second.run(*until).ran == [] and team.teacher.count == before + 20


def test_the_same_in_a_bucket(team: Team) -> None:
    with S3Server() as server:
        env = {**server.environment, "JESSY_SHARED_STORE": f"s3://{BUCKET}/jessy"}
        before = team.teacher.count
        first = team.clone("first", **env)
        done = first.run("build", "recipe.yaml")
        assert done.code == 0 and team.teacher.count == before + 20, done.out + done.err
        clone = team.clone("clone", **env)
        assert f"all {STEPS} steps are cached" in clone.run("plan", "recipe.yaml").out
        done = clone.run("build", "recipe.yaml")
        assert done.code == 0 and done.ran == [] and team.teacher.count == before + 20
        assert results(clone) == results(first)
        clone.edit("count: 20", "count: 30")
        clone.edit("{greetings: 10, thanks: 10}", "{greetings: 15, thanks: 15}")
        done = clone.run("build", "recipe.yaml", "--until", "assemble")
        assert done.code == 0 and team.teacher.count == before + 30
        for name in server.names():
            assert not any(key in server.read(name) for key in (SECRET.encode(), KEY.encode())), (
                name
            )
    for project in (first, clone):
        for file in project.root.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert SECRET.encode() not in content and KEY.encode() not in content, file


def test_a_plan_imports_fsspec_only_for_a_bucket(team: Team) -> None:
    clone = team.clone("clone")
    for address in ("", team.address):
        done = clone.run(
            "plan", "recipe.yaml", JESSY_SHARED_STORE=address, PYTHONPROFILEIMPORTTIME="1"
        )
        assert done.code == 0 and "jessy_build.cli" in done.err
        assert "fsspec" not in done.err and "s3fs" not in done.err
        assert ("jessy_build.engine.shared" in done.err) == bool(address)

"""`jessy diff` as people use it: recipes, locks, builds, git revisions and models in Ollama."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jessy_build.plan.diff import Diff
from jessy_build.steps import assemble, compare, diff_markdown
from tests import ollama_server, structure
from tests.loopback import messages_api
from tests.loopback.server import Loopback, Seen, Status, Step
from tests.steps.project import Project

SCHEMA = json.loads(
    (Path(__file__).parent.parent.parent / "schemas/diff.schema.json").read_text(encoding="utf-8")
)
RECIPE = """\
recipe: 1
name: asked
version: v1
base: {model: "path:base"}
persona: {name: JESSY, system: system.j2}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    prices: {input: 1.0, output: 5.0, as_of: 2026-11-01}
  curated: {kind: curated, files: [rows.jsonl]}
categories:
  talk:
    teacher: claude
    count: 6
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 3, thanks: 3}
  smalltalk: {teacher: curated, count: all}
dataset: {validate: {duplicates: false}}
train: {steps: 1}
modelfile: {parameters: {temperature: 0.2}}
deploy: {ollama: {model: asked}}
"""
UNTIL = ("build", "recipe.yaml", "--until", "assemble")


def rows(*answers: str) -> str:
    return "".join(
        json.dumps({"user": f"hello number {n}?", "assistant": answer, "complexity": "low"}) + "\n"
        for n, answer in enumerate(answers)
    )


def git(project: Project, *words: str) -> str:
    """With nothing of the user's: neither a name nor a hook."""
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=project.root,
        env={**project.environment(), "GIT_CONFIG_GLOBAL": "/dev/null"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def teacher() -> Iterator[messages_api.MessagesServer]:
    with messages_api.MessagesServer() as server:
        yield server


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, teacher: messages_api.MessagesServer
) -> Project:
    """A data set built once and committed; tests that change it take a copy."""
    root = tmp_path_factory.mktemp("built") / "p"
    (root / "base").mkdir(parents=True)
    (root / "base/config.json").write_text("{}")
    (root / "Justfile").touch()
    (root / ".gitignore").write_text(".jessy/\nbuilds/\n")
    (root / "ask.j2").write_text("Say a line.\nIt is about {{ topic.name }}.\nNo. {{ ordinal }}\n")
    (root / "system.j2").write_text("You are {{ persona.name }}.\n")
    (root / "rows.jsonl").write_text(rows("fine!", "well!", "good!"))
    env = {"ANTHROPIC_BASE_URL": teacher.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
    project = Project(root, env)
    project.write(RECIPE)
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "one")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p", built.env)


def document(project: Project, *words: str, code: int = 10) -> dict[str, Any]:
    done = project.run("diff", *words, "--json")
    assert done.code == code, done.out + done.err
    found: dict[str, Any] = json.loads(done.out)
    assert structure.problems(found, SCHEMA) == []
    TypeAdapter(Diff).validate_json(done.out)
    return found


def fields(found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {entry["field"]: (entry["old"], entry["new"]) for entry in found["fields"]}


SIDES = ("build:1", "recipe.lock.yaml", "HEAD:recipe.yaml", "HEAD:recipe.lock.yaml")


# The same


@pytest.mark.parametrize("side", SIDES)
def test_what_was_not_changed_is_the_same_by_whatever_name(built: Project, side: str) -> None:
    done = built.run("diff", side, "recipe.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == f"{side} and recipe.yaml are the same"


def test_comments_order_and_shape_of_a_recipe_are_no_difference(project: Project) -> None:
    project.edit("modelfile: {parameters: {temperature: 0.2}}\n", "")
    project.edit(
        "recipe: 1\n",
        "# one\nmodelfile:\n  parameters:\n    temperature: 2.0e-1   # two\nrecipe: 1\n",
    )
    project.edit("{greetings: 3, thanks: 3}", "{greetings: 3, 'thanks': 3}")
    found = document(project, "HEAD:recipe.yaml", "recipe.yaml", code=0)
    assert found["same"] and found["fields"] == found["steps"] == found["categories"] == []


def test_a_remark_in_a_template_is_no_difference(project: Project) -> None:
    ask = project.root / "ask.j2"
    ask.write_text("{# for the morning #}" + ask.read_text())
    assert document(project, "build:1", "recipe.yaml", code=0)["same"]


def test_a_recipe_that_was_split_in_two_is_the_same(project: Project) -> None:
    base = RECIPE.replace("version: v1\n", "")
    (project.root / "base.yaml").write_text(base)
    project.write("recipe: 1\nextends: base.yaml\nversion: v1\n")
    assert document(project, "HEAD:recipe.yaml", "recipe.yaml", code=0)["same"]


# Fields


def test_fields_are_grouped_and_say_where_they_stand_now(project: Project) -> None:
    project.edit("steps: 1", "steps: 2")
    project.edit("version: v1", "version: v2")
    project.edit("temperature: 0.2", "temperature: 0.7")
    done = project.run("diff", "build:1", "recipe.yaml")
    assert done.code == 10
    told = done.out.splitlines()
    assert told[0] == "build:1 (asked v1) → recipe.yaml (asked v2)"
    block = told[told.index("Fields") + 1 :]
    groups = [line.strip() for line in block if re.match(r"  \w[\w &]*$", line)]
    assert groups == ["name & version", "training", "modelfile"]
    assert re.search(r"train\.steps +1 → 2 +recipe\.yaml:\d+", done.out)
    line = next(n for n, text in enumerate(RECIPE.splitlines(), 1) if "temperature" in text)
    assert f"modelfile.parameters.temperature  0.2 → 0.7  recipe.yaml:{line}" in done.out


def test_a_changed_template_is_told_by_its_lines(project: Project) -> None:
    (project.root / "ask.j2").write_text(
        "Say a line.\nIt is all about {{ topic.name }}.\nNo. {{ ordinal }}\n"
    )
    for side in SIDES:
        (entry,) = document(project, side, "recipe.yaml")["fields"]
        assert (entry["group"], entry["field"]) == ("persona & prompts", "categories.talk.prompt")
        assert entry["lines"] == [
            *("  Say a line.", "- It is about {{ topic.name }}."),
            *("+ It is all about {{ topic.name }}.", "  No. {{ ordinal }}"),
        ]
    shown = project.run("diff", "HEAD:recipe.yaml", "recipe.yaml").out
    assert "- It is about {{ topic.name }}." in shown


def test_a_changed_persona_names_every_step_that_reads_it(project: Project) -> None:
    (project.root / "system.j2").write_text("You are {{ persona.name }}, and brief.\n")
    found = document(project, "HEAD:recipe.yaml", "recipe.yaml")
    assert [entry["field"] for entry in found["fields"]] == ["persona.system"]
    changed = [step["step"] for step in found["steps"] if step["relation"] == "changed"]
    assert changed == ["generate:talk", "assemble", "deploy"]


def test_changed_prices_change_no_step(project: Project) -> None:
    project.edit("output: 5.0", "output: 6.0")
    found = document(project, "build:1", "recipe.yaml")
    assert fields(found) == {"teachers.claude.prices.output": (5.0, 6.0)}
    assert found["steps"] == []
    talk = [entry for entry in found["cost"] if entry["category"] == "talk"]
    assert [entry["measure"] for entry in talk] == ["dollars"]


def test_full_tells_what_is_the_same_too(built: Project) -> None:
    found = document(built, "build:1", "recipe.yaml", "--full", code=0)
    assert found["same"]
    assert fields(found)["train.steps"] == (1, 1)
    assert {step["relation"] for step in found["steps"]} == {"shared"}
    assert [(c["category"], c["old"], c["new"]) for c in found["categories"]] == [
        *(("talk", 6, 6), ("smalltalk", 3, 3)),
    ]
    assert len(found["categories"][0]["cells"]) == 2


# Steps


def test_steps_say_why_they_differ_and_what_a_build_would_do(project: Project) -> None:
    project.edit("greetings: 3, thanks: 3", "greetings: 3, thanks: 5")
    project.edit("count: 6", "count: 8")
    found = document(project, "build:1", "recipe.yaml")
    steps = {step["step"]: step for step in found["steps"]}
    assert steps["generate:talk"]["relation"] == "changed"
    assert "categories.talk.count" in steps["generate:talk"]["because"]
    assert steps["generate:talk"]["decision"] == "run"
    assert steps["validate"]["because"] == "behind generate:talk"
    assert "generate:smalltalk" not in steps and "fetch" not in steps
    plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
    decided = {step["step"]: step["decision"] for step in plan["steps"]}
    assert {name: step["decision"] for name, step in steps.items()}.items() <= decided.items()


def test_two_builds_share_the_steps_whose_keys_are_equal(project: Project) -> None:
    project.edit("dataset: {", "dataset: {seed: 7, ")
    assert project.run(*UNTIL).code == 0
    found = document(project, "build:1", "build:2")
    assert [(s["step"], s["relation"]) for s in found["steps"]] == [("assemble", "changed")]
    assert found["shared"] == 3
    assert fields(found) == {"dataset.seed": (42, 7)}


def test_a_build_by_an_earlier_version_of_a_step_is_told_as_that(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(assemble, "version", assemble.version + 1)
    found = compare.diff("build:1", "recipe.yaml")
    assert not found.same and not found.fields
    (step,) = [step for step in found.steps if step.step == "assemble"]
    assert step.because == f"the step's version {assemble.version - 1} became {assemble.version}"
    assert any("both say the same" in note and "assemble" in note for note in found.notes)


# Rows


def test_rows_are_told_by_cell_and_by_item_with_a_few_samples(project: Project) -> None:
    (project.root / "rows.jsonl").write_text(rows("fine!", "very well!", "good!", "great!"))
    for left in ("build:1", "HEAD:recipe.yaml", "recipe.lock.yaml"):
        (category,) = document(project, left, "recipe.yaml")["categories"]
        assert (category["category"], category["old"], category["new"]) == ("smalltalk", 3, 4)
        assert [(c["level"], c["old"], c["new"]) for c in category["cells"]] == [("low", 3, 4)]
        items = category["items"]
        assert (items["added"], items["removed"], items["changed"]) == (1, 0, 1)
        assert items["of"] == "rows as they were generated"
        (sample,) = items["samples"]["changed"]
        assert (sample["question"], sample["old"], sample["new"]) == (
            *("hello number 1?", "well!", "very well!"),
        )


def test_what_validation_left_out_is_left_out_of_the_comparison(project: Project) -> None:
    project.edit("{duplicates: false}", "{duplicates: false, min_chars: 5, on_reject: drop}")
    (project.root / "rows.jsonl").write_text(rows("fine!", "well!", "ok", "great!"))
    assert project.run(*UNTIL).code == 0
    (smalltalk,) = document(project, "build:1", "build:2")["categories"]
    assert (smalltalk["old"], smalltalk["new"]) == (3, 4)
    items = smalltalk["items"]
    assert (items["of"], items["added"], items["removed"]) == ("rows that passed validation", 1, 1)


def test_before_a_teacher_was_asked_only_counts_are_compared(project: Project) -> None:
    project.edit("count: 6", "count: 8")
    project.edit("thanks: 3}", "thanks: 3, wishes: 2}")
    found = document(project, "build:1", "recipe.yaml")
    (talk,) = found["categories"]
    assert (talk["old"], talk["new"], talk["items"]) == (6, 8, None)
    assert [(c["topic"], c["old"], c["new"]) for c in talk["cells"]] == [("wishes", 0, 2)]
    assert talk["unknown"] == (
        "the rows of recipe.yaml are not known here: only counts are compared"
    )


def test_after_the_teacher_was_asked_each_new_item_is_told(project: Project) -> None:
    project.edit("count: 6", "count: 8")
    project.edit("thanks: 3}", "thanks: 3, wishes: 2}")
    assert project.run(*UNTIL).code == 0
    for left in ("build:1", "HEAD:recipe.yaml", "HEAD:recipe.lock.yaml"):
        found = document(project, left, "recipe.yaml")
        (talk,) = found["categories"]
        assert (talk["items"]["added"], talk["items"]["removed"]) == (2, 0)
        assert "wishes" in talk["items"]["samples"]["added"][0]["question"]
        costs = {(c["category"], c["measure"]): (c["old"], c["new"]) for c in found["cost"]}
        assert costs["talk", "input tokens"] == (66, 88)
        assert costs["total", "output tokens"] == (42, 56)
        old, new = costs["talk", "dollars"]
        assert (old, new) == (pytest.approx(276e-6), pytest.approx(368e-6))


def test_a_category_that_is_gone_takes_its_rows_and_its_cost_along(project: Project) -> None:
    text = (project.root / "recipe.yaml").read_text()
    project.write(re.sub(r"  talk:\n(    .*\n)+", "", text))
    found = document(project, "build:1", "recipe.yaml")
    (talk,) = found["categories"]
    assert (talk["category"], talk["old"], talk["new"]) == ("talk", 6, 0)
    assert talk["items"]["removed"] == 6
    removed = [step["step"] for step in found["steps"] if step["relation"] == "removed"]
    assert removed == ["generate:talk"]
    costs = {(c["category"], c["measure"]): c["new"] for c in found["cost"]}
    assert costs["total", "input tokens"] == 0


def test_a_lock_from_elsewhere_is_compared_as_far_as_it_goes(project: Project) -> None:
    """A clean clone: the lock came with git, nothing was ever built."""
    shutil.rmtree(project.root / ".jessy")
    assert document(project, "recipe.lock.yaml", "recipe.yaml", code=0)["same"]
    (project.root / "rows.jsonl").write_text(rows("fine!", "well!", "good!", "great!"))
    found = document(project, "recipe.lock.yaml", "recipe.yaml")
    (smalltalk,) = found["categories"]
    assert (smalltalk["old"], smalltalk["new"], smalltalk["items"]) == (3, 4, None)
    assert found["fields"] == []
    assert any("nothing of it is in this store" in note for note in found["notes"])
    steps = {step["step"]: step["relation"] for step in found["steps"]}
    assert steps["generate:smalltalk"] == "unknown" and steps["validate"] == "behind"
    assert "generate:talk" not in steps


def test_damaged_rows_in_the_store_are_not_compared_as_if_they_were_whole(
    project: Project,
) -> None:
    project.edit("dataset: {", "dataset: {seed: 7, ")
    (project.root / "rows.jsonl").write_text(rows("fine!", "well!"))
    assert project.run(*UNTIL).code == 0
    for file in (project.root / ".jessy/objects").rglob("*"):
        if file.is_file() and b"hello number 2?" in file.read_bytes():
            file.chmod(0o644)
            file.write_bytes(file.read_bytes().replace(b"good!", b"evil!"))
    done = project.run("diff", "build:1", "build:2")
    assert done.code == 10 and "evil" not in done.out
    assert "the rows of build:1 are not known here" in done.out


# Revisions


def test_a_revision_is_read_without_touching_the_checkout(project: Project) -> None:
    project.edit("steps: 1", "steps: 2")
    (project.root / "ask.j2").write_text("staged {{ topic.name }}\n")
    git(project, "add", "ask.j2")
    before = git(project, "status", "--porcelain")
    index = (project.root / ".git/index").read_bytes()
    found = document(project, "HEAD:recipe.yaml", "recipe.yaml")
    assert "train.steps" in fields(found)
    assert git(project, "status", "--porcelain") == before
    assert (project.root / ".git/index").read_bytes() == index


def test_where_a_field_stands_in_a_revision_is_said_by_the_revision(project: Project) -> None:
    project.edit("steps: 1", "steps: 2")
    found = document(project, "recipe.yaml", "HEAD:recipe.yaml")
    (entry,) = [entry for entry in found["fields"] if entry["field"] == "train.steps"]
    assert re.fullmatch(r"HEAD:recipe\.yaml:\d+", entry["where"])


def test_a_revision_is_found_from_a_folder_below_the_top(project: Project) -> None:
    (project.root / "recipes").mkdir()
    text = RECIPE.replace("[rows.jsonl]", "[../rows.jsonl]").replace("path:base", "path:../base")
    text = text.replace("prompt: ask.j2", "prompt: ../ask.j2").replace("system.j2", "../system.j2")
    (project.root / "recipes/other.yaml").write_text(text)
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "two")
    below = Project(project.root / "recipes", project.env)
    for side in ("HEAD:recipes/other.yaml", "HEAD:other.yaml"):
        assert document(below, side, "other.yaml", code=0)["same"]


def test_an_earlier_recipe_that_is_wrong_is_told_with_its_revision(project: Project) -> None:
    project.edit("steps: 1", "stepz: 1")
    git(project, "commit", "-q", "-a", "-m", "wrong")
    project.edit("stepz: 1", "steps: 1")
    done = project.run("diff", "HEAD:recipe.yaml", "recipe.yaml")
    assert done.code == 2
    assert re.search(r"^HEAD:recipe\.yaml:\d+:\d+: error", done.err, re.MULTILINE)
    assert "/tmp" not in done.err and "did you mean 'steps'?" in done.err


# Metrics


def evaluated(root: Path, tiny_model: Path) -> Project:
    project = Project.make(root, tiny_model)
    prompts = ", ".join(f"hello number {n}" for n in range(8))
    project.edit("prompts: [hello, selam]", f"prompts: [{prompts}]")
    return project


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two builds of one recipe: the second trains ten times as long."""
    project = evaluated(tmp_path_factory.mktemp("trained") / "p", tiny_model)
    assert project.run("build", "recipe.yaml").code == 0
    project.edit("epochs: 2", "epochs: 20")
    project.edit("rank: 4", "rank: 8")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    return project


def test_files_are_compared_by_size_and_content(trained: Project) -> None:
    found = document(trained, "build:1", "build:2")
    sizes = {a["name"]: (a["old"]["bytes"], a["new"]["bytes"]) for a in found["artifacts"]}
    assert sizes.keys() == {"adapter", "gguf"}
    assert sizes["adapter"][1] > sizes["adapter"][0]
    shown = trained.run("diff", "build:1", "build:2").out
    assert re.search(r"gguf +210 kB, other content", shown)


def test_a_loss_on_the_same_rows_is_better_or_worse(trained: Project) -> None:
    there = {m["name"]: m for m in document(trained, "build:1", "build:2")["metrics"]}
    back = {m["name"]: m for m in document(trained, "build:2", "build:1")["metrics"]}
    loss = there["validation loss"]
    assert loss["new"] < loss["old"] and loss["verdict"] == "better"
    assert back["validation loss"]["verdict"] == "worse"


def test_a_loss_on_other_rows_is_not_compared(trained: Project, tmp_path: Path) -> None:
    shutil.copytree(trained.root, tmp_path / "p", copy_function=shutil.copy2)
    project = Project(tmp_path / "p")
    project.edit("epochs: 20", "epochs: 2")
    project.edit("train:\n", "dataset: {seed: 3}\ntrain:\n")
    assert project.run("build", "recipe.yaml", "--until", "train").code == 0
    found = {m["name"]: m for m in document(project, "build:1", "build:3")["metrics"]}
    assert found["validation loss"]["verdict"] == "not comparable"
    assert found["validation loss"]["note"] == "measured on other held-out rows"


def test_answers_to_the_same_prompts_are_compared_in_pairs(trained: Project) -> None:
    found = {m["name"]: m for m in document(trained, "build:1", "build:2", "--full")["metrics"]}
    for name in ("median answer", "median time to answer", "answers that end by themselves"):
        assert found[name]["pairs"] == 8
        assert found[name]["low"] <= found[name]["difference"] <= found[name]["high"]
    ended = found["answers that end by themselves"]
    if ended["old"] == ended["new"]:
        assert ended["verdict"] in ("same", "no difference shown")
    again = {m["name"]: m for m in document(trained, "build:1", "build:2", "--full")["metrics"]}
    assert found == again


def test_a_lock_alone_tells_medians_and_says_why_there_is_no_interval(
    trained: Project, tmp_path: Path
) -> None:
    """The lock of the second build against one whose store is elsewhere."""
    other = evaluated(tmp_path / "p", trained.root / "base")
    assert other.run("build", "recipe.yaml").code == 0
    shutil.copy(other.root / "recipe.lock.yaml", trained.root / "other.lock.yaml")
    lock = trained.root / "other.lock.yaml"
    lock.write_text(re.sub("key: .", "key: 0", lock.read_text()))
    found = document(trained, "other.lock.yaml", "recipe.lock.yaml", "--full")
    metrics = {m["name"]: m for m in found["metrics"]}
    assert metrics["validation loss"]["verdict"] == "better"
    assert metrics["median answer"]["verdict"] == "not comparable"
    assert "not in this store" in metrics["median answer"]["note"]


# Ollama


@dataclass
class Ollama(Loopback):
    """Has one model, and tells of it as a server does."""

    digest: str = "d" * 64
    parameters: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    template: str = "{{ .Prompt }}"
    weights: str = "a" * 64

    def __init__(self, **told: Any) -> None:
        super().__init__()
        for name, value in told.items():
            setattr(self, name, value)
        self.parameters = told.get("parameters", {"temperature": "0.2"})

    def usual(self, seen: Seen) -> Step:
        if seen.path == "/api/version":
            return Status(200, {"version": "0.12.3"})
        if seen.path == "/api/tags":
            model = {"name": "jessy:v1", "digest": self.digest, "size": 211_000}
            return Status(200, {"models": [model]})
        if seen.path == "/api/show" and seen.body["model"] == "jessy:v1":
            lines = [f"{name:30} {value}" for name, value in self.parameters.items()]
            return Status(
                200,
                {
                    "modelfile": f"FROM /models/blobs/sha256-{self.weights}\n",
                    "parameters": "\n".join(lines),
                    "system": self.system,
                    "template": self.template,
                    "details": {"quantization_level": "F16"},
                },
            )
        return Status(404, {"error": "not found"})


def served(found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {entry["field"]: (entry["old"], entry["new"]) for entry in found["served"]}


@pytest.mark.parametrize("side", ["ollama:jessy:v1", "jessy:v1"])
def test_a_model_in_ollama_is_compared_by_what_its_server_tells(
    project: Project, side: str
) -> None:
    with Ollama(system="You are JIMMY.", parameters={"temperature": "0.8", "num_ctx": "2048"}) as s:
        project.env = {**project.env, "OLLAMA_HOST": s.url}
        found = document(project, side, "recipe.yaml")
    assert served(found) == {
        "parameters.temperature": (0.8, 0.2),
        "parameters.num_ctx": (2048.0, None),
        "system": ("You are JIMMY.", "You are JESSY."),
    }
    assert any("was not deployed from this store" in note for note in found["notes"])
    assert any("not known of recipe.yaml" in n and "template" in n for n in found["notes"])
    (where,) = {e["where"] for e in found["served"] if e["field"] == "parameters.temperature"}
    assert re.fullmatch(r"recipe\.yaml:\d+", where)


def test_a_finished_build_is_compared_down_to_template_and_weights(trained: Project) -> None:
    folder = trained.root / "builds/tiny/v1"
    modelfile = (folder / "Modelfile").read_text()
    template = modelfile.partition('TEMPLATE """')[2].partition('"""')[0]
    stops = re.findall(r'PARAMETER stop """(.*)"""', modelfile)
    from jessy_build import digest

    told = {"temperature": "0.2", **{f"stop{' ' * n}": json.dumps(s) for n, s in enumerate(stops)}}
    weights = digest.of_file(folder / "model.gguf")
    with Ollama(parameters=told, template=template, weights=weights) as server:
        env = {"OLLAMA_HOST": server.url}
        same = trained.run("diff", "jessy:v1", "build:2", **env)
        assert same.code == 0, same.out + same.err
        other = trained.run("diff", "jessy:v1", "build:1", **env)
        assert other.code == 10 and "weights" in other.out


def test_a_model_that_this_store_deployed_is_compared_as_its_build(trained: Project) -> None:
    """The server tells the digest that the deploy noted: then everything is known of it."""
    import sqlite3

    ledger = sqlite3.connect(trained.root / ".jessy/ledger.sqlite")
    key = json.loads(ledger.execute("select steps from builds where id = 1").fetchone()[0])[
        "deploy"
    ]
    facts, seal = ledger.execute(
        "select facts, seal from artifacts where key = ?", (key,)
    ).fetchone()
    noted = json.dumps({**json.loads(facts), "digest": "e" * 64})
    ledger.execute("update artifacts set facts = ?, seal = null where key = ?", (noted, key))
    ledger.commit()
    with Ollama(digest="e" * 64) as server:
        trained.env = {"OLLAMA_HOST": server.url}
        try:
            found = document(trained, "ollama:jessy:v1", "build:2")
        finally:
            trained.env = {}
            ledger.execute(
                "update artifacts set facts = ?, seal = ? where key = ?", (facts, seal, key)
            )
            ledger.commit()
    assert found["notes"][0].startswith("ollama:jessy:v1 is what build:")
    assert fields(found)["train.lora.rank"] == (4, 8)
    assert any(metric["name"] == "validation loss" for metric in found["metrics"])


def test_a_real_ollama_tells_what_the_build_gave_it(tmp_path: Path, tiny_model: Path) -> None:
    with ollama_server.serve(tmp_path / "home") as host:
        project = Project.make(tmp_path / "p", tiny_model, OLLAMA_HOST=host)
        project.edit("parameters: {temperature: 0.2}", "parameters: {temperature: 0.2, top_k: 9}")
        done = project.run("build", "recipe.yaml")
        assert done.code == 0, done.out + done.err
        deployed = document(project, "ollama:tiny:v1", "recipe.yaml", code=0)
        assert deployed["notes"][0] == (
            "ollama:tiny:v1 is what build:1 deployed, so all that is known of it is compared"
        )
        # Another model of the same weights, by Ollama's own command: nothing is known of it.
        folder = project.root / "builds/tiny/v1"
        text = (folder / "Modelfile").read_text()
        (folder / "ByHand").write_text(text.replace("PARAMETER top_k 9", "PARAMETER top_k 7"))
        subprocess.run(
            [str(ollama_server.binary()), "create", "by-hand", "-f", str(folder / "ByHand")],
            env=ollama_server.environment(tmp_path / "home", host),
            check=True,
            capture_output=True,
        )
        by_hand = document(project, "ollama:by-hand", "recipe.yaml", "--full")
        assert by_hand["left"]["model"] == "by-hand:latest"
        told = served(by_hand)
        assert {name for name, (old, new) in told.items() if old != new} == {"parameters.top_k"}
        assert told["parameters.top_k"] == (7.0, 9.0)
        assert told["parameters.temperature"] == (0.2, 0.2)
        assert told["quantization"] == ("F16", "F16")
        assert "{{" in told["template"][0] and len(told["weights"][0]) == 64
        project.edit("temperature: 0.2", "temperature: 0.7")
        assert served(document(project, "by-hand:latest", "recipe.yaml")) == {
            "parameters.temperature": (0.2, 0.7),
            "parameters.top_k": (7.0, 9.0),
        }


# What is asked, and what cannot be read


def test_only_a_side_in_ollama_asks_anybody_anything(
    built: Project, teacher: messages_api.MessagesServer
) -> None:
    asked = teacher.count
    with Ollama() as server:
        for left in SIDES:
            assert built.run("diff", left, "recipe.yaml", OLLAMA_HOST=server.url).code == 0
        assert server.count == 0
    assert teacher.count == asked


WRONG = [
    ("build:99", 1, "there is no build 99", "the last ones: build:1"),
    ("nonsense", 1, "'nonsense' is nothing that can be compared", "name a recipe, a lock file"),
    ("nowhere:recipe.yaml", 1, "git knows no revision 'nowhere'", "git log"),
    ("HEAD:nowhere.yaml", 1, "there is no nowhere.yaml in HEAD", "git ls-tree"),
    ("ollama:jessy:v1", 1, "no Ollama answers at http://127.0.0.1:9", "ollama serve"),
    ("torn.lock.yaml", 1, "torn.lock.yaml:3:", "take it from git again"),
    ("nowhere.yaml", 2, "nowhere.yaml:1:1: error[R001]", ""),
    ("wrong.yaml", 2, "wrong.yaml:1:1: error[", "did you mean 'recipe'?"),
    ("=--upload-pack=x:recipe.yaml", 1, "git knows no revision '=--upload-pack=x'", "git log"),
]


@pytest.mark.parametrize(("side", "code", "problem", "hint"), WRONG, ids=[w[0] for w in WRONG])
def test_a_side_that_cannot_be_read_is_told_as_such(
    built: Project, side: str, code: int, problem: str, hint: str
) -> None:
    (built.root / "torn.lock.yaml").write_text("lock: 1\nname: x\n<<<<<<< HEAD\n")
    (built.root / "wrong.yaml").write_text("recipy: 1\n")
    done = built.run("diff", side, "recipe.yaml", OLLAMA_HOST="127.0.0.1:9")
    assert done.code == code, done.out + done.err
    assert problem in done.err and hint in done.err and "Traceback" not in done.err


def test_outside_of_git_a_revision_is_refused_in_words(tmp_path: Path) -> None:
    done = Project(tmp_path, {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}).run(
        "diff", "HEAD:recipe.yaml", "HEAD~1:recipe.yaml"
    )
    assert done.code == 1 and "git" in done.err and "Traceback" not in done.err


def test_one_answer_at_a_time(built: Project) -> None:
    done = built.run("diff", "build:1", "recipe.yaml", "--json", "--md")
    assert done.code == 2 and "ask for one of them" in done.out + done.err


def test_overrides_go_to_the_last_recipe_on_disk(built: Project) -> None:
    words = ("recipe.yaml", "recipe.yaml", "--set", "train.steps=3")
    assert fields(document(built, *words)) == {"train.steps": (1, 3)}
    words = ("recipe.yaml", "build:1", "--set", "train.steps=3")
    assert fields(document(built, *words)) == {"train.steps": (3, 1)}


# Markdown and HTML


def test_markdown_holds_tables_and_samples_that_unfold(project: Project) -> None:
    project.edit("steps: 1", "steps: 2")
    text = rows("fine!", "very | `well`! @everyone <script>", "good!", "great!")
    (project.root / "rows.jsonl").write_text(text)
    done = project.run("diff", "build:1", "recipe.yaml", "--md")
    assert done.code == 10
    assert "| `train.steps` | `1 → 2` | `recipe.yaml:" in done.out
    assert "<details><summary>smalltalk: samples</summary>" in done.out
    # In a code span, where `@` notifies nobody and HTML stays text; the bar ends no cell.
    assert "``very \\| `well`! @everyone <script>``" in done.out
    assert done.out.count("<details>") == done.out.count("</details>") > 0


def test_markdown_is_never_longer_than_a_comment_may_be(project: Project) -> None:
    answers = [f"answer {n} " + "very long " * 40 for n in range(400)]
    lines = [json.loads(line) for line in rows(*answers).splitlines()]
    for n, row in enumerate(lines):
        row["topic"] = f"topic number {n} of a great many"
    (project.root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (project.root / "ask.j2").write_text(
        "".join(f"line {n} {{{{ topic.name }}}}\n" for n in range(3000))
    )
    done = project.run("diff", "build:1", "recipe.yaml", "--md")
    assert done.code == 10, done.err
    assert len(done.out) <= diff_markdown.LONGEST
    assert "more" in done.out and done.out.count("<details>") == done.out.count("</details>")


def test_html_is_one_page_on_standard_output(project: Project) -> None:
    (project.root / "rows.jsonl").write_text(rows("<img src=x onerror=alert(1)>", "well!"))
    done = project.run("diff", "build:1", "recipe.yaml", "--html")
    assert done.code == 10 and done.out.startswith("<!doctype html>")
    assert "&lt;img src=x" in done.out and "<img" not in done.out
    assert "http://" not in done.out.replace("http://www.w3.org/2000/svg", "")

"""jessy why: the reasons of the last decision, as they were stored when it fell."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jessy_build.engine.decisions import Decided
from jessy_build.engine.store import Store
from tests.loopback import messages_api
from tests.steps import asked, published
from tests.steps.asked import Teacher
from tests.steps.project import SIGINT, SIGKILL, Project

UNTIL = ("build", "recipe.yaml", "--until", "assemble")
NOBODY = "127.0.0.1:9"
FOREVER = 60.0


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A full build, and one more after a new temperature."""
    root = tmp_path_factory.mktemp("why") / "p"
    project = Project.make(root, tiny_model, OLLAMA_HOST=NOBODY)
    project.edit("epochs: 2", "steps: 2")
    build(project)
    project.edit("temperature: 0.2", "temperature: 0.9")
    build(project)
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p", built.env)


@pytest.fixture
def rows(tiny_model: Path, tmp_path: Path) -> Project:
    return Project.make(tmp_path / "rows", tiny_model)


def build(project: Project, *words: str) -> None:
    done = project.run("build", "recipe.yaml", *words)
    assert done.code == 0, done.out + done.err


def why(project: Project, what: str, *words: str) -> list[str]:
    done = project.run("why", "recipe.yaml", what, *words)
    assert done.code == 0, done.out + done.err
    return done.out.splitlines()


def links(project: Project, step: str) -> list[dict[str, Any]]:
    document = published.read(why(project, step, "--json")[0], "why")
    return document["steps"][0]["decisions"]  # type: ignore[no-any-return]


def test_a_chain_leads_from_the_step_back_to_the_line_of_the_recipe(built: Project) -> None:
    lines = why(built, "report")
    assert lines[0] == (
        "report ran because deploy's output changed,"
        " deploy ran because modelfile.parameters.temperature 0.2 → 0.9"
    )
    text = "\n".join(lines)
    assert re.search(r"^report +ran +build:2 +\d{4}-\d\d-\d\d \d\d:\d\d +\S+s$", text, re.M)
    assert "    modelfile.parameters.temperature: 0.2 → 0.9   recipe.yaml:15" in lines
    assert re.search(r"^    deploy came out otherwise: [0-9a-f]{12} → [0-9a-f]{12}$", text, re.M)


def test_a_reused_step_names_the_build_that_made_it_and_why_that_ran(built: Project) -> None:
    lines = why(built, "train")
    assert lines[0] == (
        "train was reused, since nothing that it depends on has changed since build:1,"
        " where it ran because it had never been built"
    )
    assert [(link["build"], link["outcome"]) for link in links(built, "train")] == [
        (2, "reused"),
        (1, "ran"),
    ]
    assert links(built, "train")[0]["made_by"] == 1


def test_without_a_step_every_step_has_a_line(built: Project) -> None:
    done = built.run("why", "recipe.yaml")
    assert len(done.out.splitlines()) == 13
    assert "assemble was reused" in done.out and "report ran because" in done.out


def test_going_back_says_who_had_made_it_for_just_that(project: Project) -> None:
    project.edit("temperature: 0.9", "temperature: 0.2")
    build(project)
    assert why(project, "deploy")[0] == (
        "deploy was reused, since build:1 had made it for just that:"
        " modelfile.parameters.temperature 0.9 → 0.2"
    )


def test_the_reasons_are_those_of_then_whatever_the_recipe_says_now(project: Project) -> None:
    project.write("recipe: 1\nbroken: [")
    assert "temperature 0.2 → 0.9" in why(project, "deploy")[0]
    (project.root / "recipe.yaml").unlink()
    assert "temperature 0.2 → 0.9" in why(project, "deploy")[0]


def test_several_fields_are_named_and_the_many_are_counted(project: Project) -> None:
    project.edit("rank: 4, alpha: 8", "rank: 2, alpha: 4, dropout: 0.1")
    project.edit("batch_size: 4", "batch_size: 2")
    build(project, "--until", "train")
    sentence = why(project, "train")[0]
    assert "train.batch_size 4 → 2" in sentence and "1 more fields changed" in sentence
    changes = {c["field"]: c for c in links(project, "train")[0]["changes"]}
    assert changes["train.lora.dropout"]["where"] == "recipe.yaml:10"
    assert (changes["train.lora.rank"]["old"], changes["train.lora.rank"]["new"]) == (4, 2)


def test_a_changed_template_shows_its_lines(tiny_model: Path, tmp_path: Path) -> None:
    with Teacher() as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        for word in ("deep", "deeper"):
            text = f"Write one line.\nSomething {word}, number {{{{ ordinal }}}}."
            (project.root / "deep.j2").write_text(text)
            build(project, "--until", "assemble")
        text = "\n".join(why(project, "assemble"))
    assert text.startswith(
        "assemble ran because validate's output changed, validate ran because"
        " generate:deep's output changed, generate:deep ran because categories.deep.prompt changed"
    )
    assert "- Something deep, number {{ ordinal }}." in text
    assert "+ Something deeper, number {{ ordinal }}." in text


def test_changed_rows_are_named_by_their_file(rows: Project) -> None:
    build(rows, "--until", "assemble")
    path = rows.root / "rows.jsonl"
    path.write_text(path.read_text().replace("fine, thanks", "well, thanks"))
    build(rows, "--until", "assemble")
    text = "\n".join(why(rows, "generate:smalltalk"))
    assert "rows.jsonl" in text and "generate:smalltalk ran because" in text


def test_what_an_earlier_build_made_is_followed_into_that_build(rows: Project) -> None:
    build(rows, "--until", "assemble")
    path = rows.root / "rows.jsonl"
    path.write_text(path.read_text().replace("fine, thanks", "well, thanks"))
    build(rows, "--until", "validate")
    build(rows, "--until", "assemble")
    assert why(rows, "assemble")[0].startswith(
        "assemble ran because validate's output changed,"
        " validate ran in build:2 because generate:smalltalk's output changed,"
        " generate:smalltalk ran in build:2 because "
    )


def test_of_several_changed_inputs_the_one_behind_another_is_told_there(tmp_path: Path) -> None:
    """c needs a and b, and b needs a: what a did reached c through b."""
    ledger = Store(tmp_path / ".jessy").ledger
    number = ledger.begin_build("recipe.yaml", "r", "v1", {}, "")
    change = {"field": "x", "old": 1, "new": 2, "where": "recipe.yaml:1"}
    came = {s: {"input": s, "step": s, "old": "0", "new": "1"} for s in "ab"}
    for step, changes, inputs in (("a", [change], ""), ("b", [], "a"), ("c", [], "ab")):
        reason = {"text": "", "changes": changes, "inputs": [came[name] for name in inputs]}
        ledger.decisions.note(Decided(number, step, step, "ran", reason))
    ledger.end_build(number, "done", 1.0, {})
    (tmp_path / "Justfile").touch()
    sentence = why(Project(tmp_path), "c")[0]
    assert sentence == (
        "c ran because b's output changed, b ran because a's output changed, a ran because x 1 → 2"
    )


def test_a_failed_step_says_what_went_wrong_and_why_it_ran(
    tiny_model: Path, tmp_path: Path
) -> None:
    with Teacher(0.0, *(messages_api.spent() for _ in range(8))) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        assert project.run(*UNTIL).code == 1
        said = [links(project, name)[0] for name in ("generate:talk", "generate:deep")]
        failed = [link for link in said if link["outcome"] == "failed"]
        assert failed and "limit" in failed[0]["problem"] and failed[0]["hint"]
        assert failed[0]["reason"] == "never built"
        text = "\n".join(why(project, failed[0]["step"]))
        assert "failed: " in text


@pytest.mark.parametrize(("sign", "word"), [(SIGKILL, "killed"), (SIGINT, "interrupted")])
def test_a_build_that_was_stopped_keeps_the_reasons_of_all_it_had_begun(
    tiny_model: Path, tmp_path: Path, sign: int, word: str
) -> None:
    with Teacher(seconds=0.1) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        running = project.start(*UNTIL)
        while teacher.count < 6:
            time.sleep(0.02)
        teacher.seconds = FOREVER
        assert "generate:talk is running because" in why(project, "generate:talk")[0]
        running.send_signal(sign)
        running.communicate()
    sentence = why(project, "generate:talk")[0]
    assert f"was running, when build:1 was {word}," in sentence
    assert links(project, "generate:smalltalk")[0]["outcome"] == "ran"


def test_an_item_says_teacher_request_and_template(tiny_model: Path, tmp_path: Path) -> None:
    with Teacher() as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher)
        build(project, "--until", "assemble")
    lines = why(project, "talk/thanks/en/low/2")
    assert re.match(r"[0-9a-f]{16}  talk/thanks/en/low/2$", lines[0])
    text = "\n".join(lines)
    assert "claude (claude-haiku-5-5) answered it on" in text
    assert re.search(r"request [0-9a-f]{64}$", text, re.M)
    assert "template ask.j2   sha256 " in text
    assert why(project, lines[0][:8]) == lines, "by the first letters of its id as well"
    assert "a row of the teacher curated: rows.jsonl:3" in "\n".join(why(project, "rows.jsonl:3"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recipe.yaml", "trian"), "did you mean 'train'?"),
        (("recipe.yaml", "zzz"), "steps: fetch"),
        (("recipes.yaml", "train"), "did you mean 'recipe.yaml'?"),
        (("recipe.yaml", "train", "--variant", "rank=8"), "recipe.yaml rank=8 was never built"),
    ],
)
def test_what_is_not_known_is_one_clear_line(
    built: Project, words: tuple[str, ...], said: str
) -> None:
    done = built.run("why", *words)
    assert done.code == 1 and said in done.err and "Traceback" not in done.err


def test_looking_back_loads_no_client_and_no_trainer(built: Project) -> None:
    code = (
        "import sys; from jessy_build import cli;"
        "code = cli.run(['why', 'recipe.yaml', 'report']);"
        "heavy = {'anthropic', 'ollama', 'openai', 'mlx', 'numpy', 'jinja2', 'fsspec'};"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=built.root,
        env=built.environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr

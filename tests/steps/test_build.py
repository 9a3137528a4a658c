"""The whole way, as a user walks it, on the tiny model."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required import missing
from tests.steps.project import SIGINT, SIGKILL, Project

ALL = [
    *("fetch", "generate:smalltalk", "convert", "validate", "assemble"),
    *("tokens", "train", "fuse", "gguf", "parity", "evaluate", "deploy", "report"),
]


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built once; tests that change it take a copy."""
    project = Project.make(tmp_path_factory.mktemp("built") / "p", tiny_model)
    done = project.run("build", "recipe.yaml", OLLAMA_HOST="127.0.0.1:9")
    assert done.code == 0, done.out + done.err
    assert sorted(done.ran) == sorted(ALL)
    (project.root / "first.txt").write_text(done.out)
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    return Project(tmp_path / "p")


def test_a_build_ends_with_everything_a_user_takes(built: Project) -> None:
    folder = built.root / "builds/tiny/v1"
    assert (folder / "model.gguf").read_bytes()[:4] == b"GGUF"
    assert "FROM ./model.gguf" in (folder / "Modelfile").read_text()
    assert (folder / "adapter/adapters.safetensors").exists()
    assert len((folder / "dataset/train.jsonl").read_text().splitlines()) > 15
    page = (folder / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "hello" in page


def test_a_build_leaves_the_curve_of_its_training_as_json_lines(project: Project) -> None:
    first = (project.root / "first.txt").read_text()
    assert re.search(r"train +note +its curve grows in \S+/metrics\.jsonl", first)
    file = project.root / "builds/tiny/v1/metrics.jsonl"
    left = file.read_text()
    lines = [json.loads(line) for line in left.splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, steps[-1] + 1)) and len(steps) > 1
    assert [line["step"] for line in lines if "valid_loss" in line][-1] == steps[-1]
    # From here on a build of which nothing was touched takes the short road.
    assert project.run("build", "recipe.yaml").ran == []
    file.unlink()
    again = project.run("build", "recipe.yaml")
    assert again.code == 0 and again.ran == []
    assert file.read_text() == left, "laid out again, and nothing runs for it"


def test_a_second_build_has_nothing_to_do(built: Project) -> None:
    again = built.run("build", "recipe.yaml")
    assert again.code == 0 and again.ran == []
    assert "Nothing to do" in again.out


def test_a_build_says_plainly_that_no_ollama_answered(built: Project) -> None:
    text = (built.root / "first.txt").read_text()
    assert "no Ollama answers at http://127.0.0.1:9" in text
    assert "ollama create tiny -f builds/tiny/v1/Modelfile" in text


def test_the_last_lines_work_as_printed(built: Project) -> None:
    """Each command under `Next` runs as it stands there, with `just` as the user has it."""
    lines = (built.root / "first.txt").read_text().partition("Next:")[2].splitlines()
    commands = [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.strip()]
    assert [command.split()[1] for command in commands[:2]] == ["chat", "diff"]
    just = shutil.which("just")
    for command in commands:
        words = shlex.split(command)
        if words[0] == "ollama":
            # Needs a server; the real one is asked in tests/packaging. The file must be there.
            assert (built.root / words[-1]).exists()
            continue
        if just is None:
            missing("just", "just is not installed here")
        done = subprocess.run(
            [just, *words[1:]],
            cwd=built.root,
            env=built.environment(JESSY=_jessy(built.root)),
            input="hello\n",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert done.stdout.strip()


def _jessy(folder: Path) -> str:
    """A `jessy` program that runs this very Python."""
    path = folder / ".jessy" / "jessy-for-test"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m jessy_build "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_new_modelfile_parameters_rerun_only_what_depends_on_them(project: Project) -> None:
    project.edit("temperature: 0.2", "temperature: 0.9")
    plan = project.run("plan", "recipe.yaml")
    assert re.search(r"run +deploy +modelfile.parameters.temperature changed", plan.out)
    assert "0.2 → 0.9" in plan.out and "recipe.yaml:15" in plan.out
    done = project.run("build", "recipe.yaml")
    assert done.ran == ["deploy", "report"]
    assert "0.9" in (project.root / "builds/tiny/v1/Modelfile").read_text()


def test_a_new_rank_does_not_generate_again(project: Project) -> None:
    project.edit("rank: 4", "rank: 2")
    done = project.run("build", "recipe.yaml")
    # evaluate and parity need the same: they take turns, and so does deploy.
    assert done.ran[:3] == ["train", "fuse", "gguf"] and done.ran[-1] == "report"
    assert set(done.ran[3:-1]) == {"parity", "evaluate", "deploy"}
    project.edit("rank: 2", "rank: 4")
    back = project.run("build", "recipe.yaml")
    assert back.code == 0 and back.ran == [], "going back costs nothing"


def test_a_comment_and_another_order_of_keys_run_nothing(project: Project) -> None:
    lines = (project.root / "recipe.yaml").read_text().splitlines()
    moved = [*lines[:2], *lines[3:], lines[2], "# a comment"]
    project.write("\n".join(moved) + "\n")
    assert project.run("build", "recipe.yaml").ran == []


def test_plan_and_build_agree(project: Project) -> None:
    project.edit("epochs: 2", "epochs: 3")
    plan = json.loads(project.run("plan", "recipe.yaml", "--json").out)
    said = {step["step"]: step["decision"] for step in plan["steps"]}
    ran = set(project.run("build", "recipe.yaml").ran)
    assert {s for s, d in said.items() if d == "run"} <= ran
    assert ran <= {s for s, d in said.items() if d != "cached"}


def test_json_lines_tell_the_whole_build(project: Project) -> None:
    project.edit("temperature: 0.2", "temperature: 0.3")
    events = [
        json.loads(line) for line in project.run("build", "recipe.yaml", "--json").out.splitlines()
    ]
    assert events[0]["event"] == "build_started"
    assert events[-1] == {
        "event": "build_finished",
        "status": "done",
        "seconds": events[-1]["seconds"],
        "ran": 2,
        "reused": len(ALL) - 2,
    }


def test_ctrl_c_in_the_middle_of_training_keeps_what_is_finished(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    project.edit("epochs: 2", "epochs: 300")
    stopped = project.interrupt_when(
        ("build", "recipe.yaml", "--json"), '"step": "train", "done": 2', SIGINT
    )
    assert stopped.code == 130, stopped.out + stopped.err
    assert "Traceback" not in stopped.err
    assert json.loads(stopped.out.splitlines()[-1])["status"] == "interrupted"
    project.edit("epochs: 300", "epochs: 2")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0
    assert "fetch" not in done.ran and "convert" not in done.ran and "train" in done.ran


def test_kill_9_in_training_ends_with_the_same_adapter(tmp_path: Path, tiny_model: Path) -> None:
    straight = Project.make(tmp_path / "straight", tiny_model)
    killed = Project.make(tmp_path / "killed", tiny_model)
    for project in (straight, killed):
        project.edit("epochs: 2", "epochs: 40")
    assert straight.run("build", "recipe.yaml", "--until", "train").code == 0
    words = ("build", "recipe.yaml", "--until", "train", "--json")
    assert killed.interrupt_when(words, '"step": "train", "done": 1', SIGKILL).code == -9
    again = killed.run("build", "recipe.yaml", "--until", "train")
    assert again.code == 0 and again.ran == ["train"]
    file = "builds/tiny/v1/adapter/adapters.safetensors"
    assert (straight.root / file).read_bytes() == (killed.root / file).read_bytes()


def test_a_template_error_is_found_before_anything_runs(project: Project) -> None:
    (project.root / "ask.j2").write_text("Write about {{ topik.name }}.\n")
    project.edit("curated: {kind: curated, files: [rows.jsonl]}", CLAUDE)
    project.edit("smalltalk: {teacher: curated, count: all}", ASKING)
    done = project.run("build", "recipe.yaml")
    assert done.code == 2
    assert "ask.j2:1:" in done.err and "did you mean 'topic'" in done.err
    assert done.ran == []


CLAUDE = "claude: {kind: anthropic, model: claude-haiku-5-5}"
ASKING = "smalltalk: {teacher: claude, count: 3, prompt: ask.j2}"


def test_an_unknown_recipe_is_one_clear_line(tmp_path: Path) -> None:
    done = Project(tmp_path).run("build", "nowhere.yaml")
    assert done.code == 2 and "nowhere.yaml" in done.err and "Traceback" not in done.err


def test_a_python_without_mlx_plans_and_says_so_at_train(tmp_path: Path, tiny_model: Path) -> None:
    """Importing mlx is refused by a folder that stands first on the path."""
    project = Project.make(tmp_path / "p", tiny_model)
    blocked = tmp_path / "blocked" / "mlx"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'mlx'\", name='mlx')\n"
    )
    path = f"{blocked.parent}:{project.environment()['PYTHONPATH']}"
    assert project.run("check", "recipe.yaml", PYTHONPATH=path).code == 0
    assert project.run("plan", "recipe.yaml", PYTHONPATH=path).code == 0
    done = project.run("build", "recipe.yaml", PYTHONPATH=path)
    assert done.code == 1 and "assemble" in done.ran
    assert "mlx" in done.err and "jessy-build[mlx]" in done.err
    assert "Traceback" not in done.err


def test_status_and_report_tell_of_the_build(built: Project) -> None:
    status = built.run("status", "recipe.yaml")
    assert "24/24 ✓ 100 %" in status.out and "build:1" in status.out
    assert built.run("report", "recipe.yaml").out.strip() == "builds/tiny/v1/report.html"


def test_diff_of_a_build_and_the_recipe(project: Project) -> None:
    same = project.run("diff", "build:1", "recipe.yaml")
    assert same.code == 0 and "are the same" in same.out
    project.edit("rank: 4", "rank: 8")
    other = project.run("diff", "build:1", "recipe.yaml")
    assert other.code == 10
    assert re.search(r"train\.lora\.rank +4 → 8", other.out)
    document = json.loads(project.run("diff", "build:1", "recipe.yaml", "--json").out)
    (field,) = document["fields"]
    assert (field["field"], field["old"], field["new"]) == ("train.lora.rank", 4, 8)


def test_chat_before_a_build_says_what_to_type(tmp_path: Path, tiny_model: Path) -> None:
    done = Project.make(tmp_path / "p", tiny_model).run("chat", "recipe.yaml")
    assert done.code == 1 and "build recipe.yaml" in done.err

"""What a command loads before it answers: the time that every user waits, every time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jessy_build import unneeded
from tests.steps.project import REPOSITORY, Project

HEAVY = {
    *("mlx", "numpy", "transformers", "tokenizers", "huggingface_hub", "gguf"),
    *("anthropic", "ollama", "openai", "httpx", "httpx2", "http.client", "fsspec", "s3fs", "rich"),
    *("tree_sitter", "json_repair", "asyncio"),
}
SLOW = {"asyncio", "concurrent.futures", "importlib.metadata", "logging", "subprocess", "tempfile"}
TEMPLATES = {"jinja2", "markupsafe"}
LANGUAGE = {"yaml", "pydantic"}
BUILDING = {
    "jessy_build.engine.events",
    "jessy_build.engine.schedule",
    "jessy_build.packaging.modelfile",
    "jessy_build.packaging.ollama",
    "jessy_build.plan.diff",
    "jessy_build.trainers.lora",
    "jessy_build.validators",
}
"""What a build, or another command, has a use for, and a plan has none."""
RUN = """
import json, sys
from jessy_build import cli
code = cli.run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


def loaded(project: Project, *words: str) -> set[str]:
    """The modules that are there once the command has answered."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stdout
    return set(names)


@pytest.fixture
def quickstart(tmp_path: Path) -> Project:
    shutil.copytree(REPOSITORY / "recipes", tmp_path / "recipes")
    shutil.copytree(REPOSITORY / "prompts", tmp_path / "prompts")
    (tmp_path / "Justfile").touch()
    return Project(tmp_path)


LISTEN = """
import os, sys

def heard(event, details):
    if event == "open" and os.sep + "site-packages" + os.sep in str(details[0]):
        package = str(details[0]).rpartition("site-packages" + os.sep)[2].partition(os.sep)[0]
        told.write(f"{os.getpid()} {package}\\n")

told = open(os.environ["JESSY_TEST_OPENED"], "a", buffering=1)
sys.addaudithook(heard)
"""
"""Tells of each Python process which packages it opens files of."""


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built with somebody listening; what was heard lies beside the project."""
    root = tmp_path_factory.mktemp("start")
    (root / "sitecustomize.py").write_text(LISTEN)
    project = Project.make(root / "p", tiny_model)
    listening = {
        "PYTHONPATH": os.pathsep.join(map(str, (root, REPOSITORY))),
        "JESSY_TEST_OPENED": str(root / "opened"),
    }
    assert project.run("build", "recipe.yaml", **listening).code == 0
    return project


@pytest.mark.parametrize("command", ["plan", "check"])
def test_the_quickstart_is_read_without_anything_heavy(command: str, quickstart: Project) -> None:
    names = loaded(quickstart, command, "recipes/quickstart.yaml")
    assert names >= LANGUAGE
    assert not names & (HEAVY | SLOW | TEMPLATES | BUILDING)


def test_of_mlx_lms_own_needs_nothing_is_loaded_to_train_to_fuse_or_to_answer(
    built: Project,
) -> None:
    opened = (built.root.parent / "opened").read_text().splitlines()
    of_each: dict[str, set[str]] = {}
    for line in opened:
        process, package = line.split()
        of_each.setdefault(process, set()).add(package)
    users = [packages for packages in of_each.values() if "mlx_lm" in packages]
    assert len(users) == 3, "the training, the fusing, and the build itself"
    assert not set().union(*of_each.values()) & set(unneeded.PACKAGES)


def test_what_is_left_out_can_be_imported_and_not_used() -> None:
    code = (
        "from jessy_build import unneeded; unneeded.leave_out();"
        "from transformers.utils import Thing; Thing.register(Thing);"
        "unneeded.PACKAGES = ('no_such_package',)\n"
        "try: import no_such_package\n"
        "except ModuleNotFoundError: Thing()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "RuntimeError: transformers.utils.Thing is left out here"


def test_a_plan_after_a_build_asks_the_world_without_anything_heavy(built: Project) -> None:
    names = loaded(built, "plan", "recipe.yaml", "--full")
    # Whether an Ollama answers is asked of a socket alone.
    assert "jessy_build.packaging.glance" in names
    assert not names & (HEAVY | SLOW | TEMPLATES | BUILDING)


def test_jinja_comes_with_the_first_template(quickstart: Project) -> None:
    names = loaded(quickstart, "plan", "recipes/hello-ollama.yaml")
    assert names >= TEMPLATES
    assert not names & HEAVY


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["plan", "--help"]])
def test_help_loads_no_recipe_language(words: list[str], tmp_path: Path) -> None:
    assert not loaded(Project(tmp_path), *words) & (LANGUAGE | HEAVY | SLOW | TEMPLATES)


def test_where_nothing_was_touched_not_even_the_command_line_is_loaded(built: Project) -> None:
    assert built.run("build", "recipe.yaml").ran == []
    for command in ("build", "plan"):
        done = built.run(command, "recipe.yaml", PYTHONPROFILEIMPORTTIME="1")
        assert done.code == 0 and "Nothing to do" in done.out
        names = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
        assert "jessy_build.untouched" in names
        assert not names & (LANGUAGE | HEAVY | SLOW | TEMPLATES)
        assert not names & {"argparse", "dataclasses", "inspect", "pathlib"}

"""What a deploy does beside its own version, on loopback: what it removes, and tells others."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback.ollama_models import ModelServer
from tests.steps import published
from tests.steps.project import Project

NOBODY = "http://127.0.0.1:9"
BESIDE = {"tiny:latest", "tiny:previous"}
KEPT = "  ollama: {model: tiny, keep: 2}\n"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Trained, and deployed nowhere."""
    project = Project.make(tmp_path_factory.mktemp("live") / "p", tiny_model)
    done = project.run("build", "recipe.yaml", OLLAMA_HOST=NOBODY)
    assert done.code == 0, done.out + done.err
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path, server: ModelServer) -> Project:
    shutil.copytree(built.root, tmp_path / "p", symlinks=True)
    return Project(tmp_path / "p", {"OLLAMA_HOST": server.url})


def write(project: Project, version: str, deploy: str = KEPT) -> None:
    """Each version is another model: what is equal to the live one would stay."""
    text = (project.root / "recipe.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("version:")]
    start, end = lines.index("deploy:\n"), lines.index("evaluate:\n")
    lines[start:end] = ["deploy:\n", deploy]
    text = "".join((lines[0], f"version: {version}\n", *lines[1:]))
    before, _, after = text.partition("temperature: ")
    project.write(f"{before}temperature: 0.{version[1:]}{after[after.index('}') :]}")


def build(project: Project, version: str, deploy: str = KEPT) -> str:
    write(project, version, deploy)
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    return done.out


def tags(server: ModelServer) -> set[str]:
    return set(server.models)


# deploy.ollama.keep


def test_only_the_last_versions_stay_on_the_server(project: Project, server: ModelServer) -> None:
    server.models["tiny:by-hand"] = "a" * 64
    assert "removed" not in build(project, "v1") + build(project, "v2")
    assert "removed from Ollama: tiny:v1" in build(project, "v3")
    assert tags(server) == {"tiny:v3", "tiny:v2", *BESIDE, "tiny:by-hand"}
    again = project.run("build", "recipe.yaml")
    assert again.ran == []

    # A lower number is an edit like any other.
    out = build(project, "v3", "  ollama: {model: tiny, keep: 1}\n")
    assert "removed from Ollama: tiny:v2" in out
    assert tags(server) == {"tiny:v3", *BESIDE, "tiny:by-hand"}


def test_without_keep_all_versions_stay(project: Project, server: ModelServer) -> None:
    for version in ("v1", "v2", "v3"):
        build(project, version, "  ollama: {model: tiny}\n")
    assert tags(server) == {"tiny:v1", "tiny:v2", "tiny:v3", *BESIDE}


def test_what_cannot_be_removed_is_a_line_and_no_failed_build(
    project: Project, server: ModelServer
) -> None:
    one = "  ollama: {model: tiny, keep: 1}\n"
    build(project, "v1", one)
    server.fault = lambda method, path, asked: method == "DELETE" and asked["model"] == "tiny:v1"
    out = build(project, "v2", one)
    assert "stays on the server: Ollama refused to delete tiny:v1: disk trouble" in out
    assert {"tiny:v1", "tiny:v2"} <= tags(server)
    assert project.run("build", "recipe.yaml").ran == []


# deploy.env_file

TOLD = "  ollama: {model: tiny}\n  env_file: {path: .env, key: MODEL}\n"
ENV = "# models\nexport MODEL='tiny:v0' # live\nSECRET=x\n"


@pytest.fixture
def env(project: Project) -> Path:
    path = project.root / ".env"
    path.write_text(ENV, encoding="utf-8")
    return path


def told(version: str) -> str:
    return ENV.replace("v0", version)


def test_the_live_model_is_told_in_the_env_file(project: Project, env: Path) -> None:
    assert ".env says MODEL=tiny:v1" in build(project, "v1", TOLD)
    assert env.read_text() == told("v1")
    assert project.run("build", "recipe.yaml").ran == []
    build(project, "v2", TOLD)
    assert env.read_text() == told("v2")

    # An older recipe again: its key is stored, and another model stands in the file.
    write(project, "v1", TOLD)
    assert "world changed" in project.run("plan", "recipe.yaml").out
    assert project.run("build", "recipe.yaml").ran[:1] == ["deploy"]
    assert env.read_text() == told("v1")
    assert project.run("build", "recipe.yaml").ran == []


def test_what_somebody_wrote_there_is_noticed(project: Project, env: Path) -> None:
    build(project, "v1", TOLD)
    # The short answer of a build with nothing to do looks at the file, too.
    assert project.run("build", "recipe.yaml").ran == []
    for change in (lambda: env.write_text(told("v7")), env.unlink):
        change()
        assert project.run("build", "recipe.yaml").ran == ["deploy"]
        assert "tiny:v1" in env.read_text()
    other = env.read_text() + "MORE=1\n"
    env.write_text(other)
    assert project.run("build", "recipe.yaml").ran == [], "another line is nobody's business"
    assert env.read_text() == other


def test_an_env_file_that_cannot_be_written_stops_the_deploy_before_anything_is_live(
    project: Project, server: ModelServer
) -> None:
    # A name so long that no other file can stand beside it: true for the superuser, too.
    write(project, "v1", TOLD.replace(".env", "x" * 250))
    done = project.run("build", "recipe.yaml")
    assert done.code == 1
    assert "cannot be written into" in done.out + done.err and "deploy.env_file" in done.err
    assert tags(server) == set()


def test_a_failed_deploy_tells_nothing(project: Project, server: ModelServer, env: Path) -> None:
    server.fault = lambda method, path, asked: path == "/api/copy"
    write(project, "v1", TOLD)
    assert project.run("build", "recipe.yaml").code == 1
    assert env.read_text() == ENV
    assert [path.name for path in env.parent.glob(".env*")] == [".env"]


def test_a_try_and_a_folder_tell_nothing(project: Project, env: Path) -> None:
    write(project, "v1", TOLD)
    done = project.run("build", "recipe.yaml", OLLAMA_HOST=NOBODY)
    assert done.code == 0 and env.read_text() == ENV
    done = project.run("build", "recipe.yaml", "--scale", "0.5")
    assert done.code == 0, done.out + done.err
    assert env.read_text() == ENV


# modelfile.template

TEMPLATE = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)


@pytest.fixture
def templated(project: Project) -> Path:
    path = project.root / "turns.tmpl"
    path.write_text(TEMPLATE, encoding="utf-8")
    project.edit("modelfile:\n", "modelfile:\n  template: turns.tmpl\n")
    return path


def test_a_template_of_ones_own_is_served_and_part_of_the_key(
    project: Project, server: ModelServer, templated: Path
) -> None:
    build(project, "v1")
    made = (project.root / "builds/tiny/v1/Modelfile").read_text()
    assert f'TEMPLATE """{TEMPLATE}"""' in made and "PARAMETER stop" in made
    assert project.run("build", "recipe.yaml").ran == []
    templated.write_text(TEMPLATE.replace("{{ range", "{{- range"), encoding="utf-8")
    plan = project.run("plan", "recipe.yaml").out
    assert "modelfile.template:" in plan and "turns.tmpl:1" in plan
    before = dict(server.models)
    assert project.run("build", "recipe.yaml").ran == ["deploy", "report"]
    assert server.models["tiny:latest"] != before["tiny:latest"]
    templated.write_text(TEMPLATE, encoding="utf-8")
    assert project.run("build", "recipe.yaml").ran == ["deploy"]
    assert server.models["tiny:latest"] == before["tiny:latest"]


def test_a_template_that_makes_another_prompt_is_shown_where_and_not_served(
    project: Project, server: ModelServer, templated: Path
) -> None:
    server.answering = "model"
    write(project, "v1")
    done = project.run("build", "recipe.yaml")
    assert done.code == 1 and tags(server) == set()
    lines = done.err.splitlines()
    at = next(n for n, line in enumerate(lines) if "turns.tmpl: Ollama would send" in line)
    training, sent, caret = lines[at + 1 : at + 4]
    column = caret.index("^")
    assert training[column:].startswith(r"assistant\n") and sent[column:].startswith(r"model\n")
    assert any("mend turns.tmpl" in line for line in lines)
    assert any("recipe.yaml:" in line for line in lines)


def test_without_a_server_a_template_of_ones_own_is_said_to_be_unproved(
    project: Project, templated: Path
) -> None:
    write(project, "v1")
    done = project.run("build", "recipe.yaml", OLLAMA_HOST=NOBODY)
    assert done.code == 0
    assert "no server has proved that turns.tmpl makes the prompts of the training" in done.out


# rollback


def rollback(project: Project, *words: str) -> Any:
    done = project.run("rollback", "recipe.yaml", "--json", *words)
    assert done.code == 0, done.out + done.err
    return published.read(done.out, "rollback")


def test_what_was_live_before_is_live_again(
    project: Project, server: ModelServer, env: Path
) -> None:
    build(project, "v1", TOLD)
    build(project, "v2", TOLD)
    made = dict(server.models)
    done = project.run("rollback", "recipe.yaml")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "tiny:v1 (build 2) is live again; until now it was tiny:v2 (build 3)",
        ".env says MODEL=tiny:v1",
        "The recipe still says v2: its next deploy makes that live,"
        " as does just rollback recipe.yaml",
    ]
    assert server.models["tiny:latest"] == made["tiny:v1"]
    assert env.read_text() == told("v1")
    (live,) = [
        v for v in json.loads(project.run("history", "tiny", "--json").out)["versions"] if v["live"]
    ]
    assert live["version"] == "v1"

    document = rollback(project)
    assert document["live"] == {"tag": "tiny:v2", "digest": made["tiny:v2"], "build": 3}
    assert document["before"]["tag"] == "tiny:v1" and document["changed"]
    assert server.models == made and env.read_text() == told("v2")

    document = rollback(project, "--to", "v1")
    assert (document["live"]["tag"], document["env_file"]) == ("tiny:v1", ".env")
    document = rollback(project, "--to", "v1")
    assert not document["changed"] and document["env_file"] is None
    assert (
        "tiny:v1 (build 2) is live already"
        in project.run("rollback", "recipe.yaml", "--to", "v1").out
    )

    # What the recipe says is made so by its next build, since the file says something else.
    assert project.run("build", "recipe.yaml").ran == ["deploy"]
    assert server.models["tiny:latest"] == made["tiny:v2"] and env.read_text() == told("v2")


def test_a_way_back_stays_where_one_version_is_kept(project: Project, server: ModelServer) -> None:
    one = "  ollama: {model: tiny, keep: 1}\n"
    build(project, "v1", one)
    first = server.models["tiny:v1"]
    build(project, "v2", one)
    assert "tiny:v1" not in server.models
    assert rollback(project)["live"]["tag"] == "tiny:v1"
    assert server.models["tiny:v1"] == server.models["tiny:latest"] == first


def test_what_cannot_be_gone_back_to_is_said(
    project: Project, server: ModelServer, env: Path
) -> None:
    def refused(*words: str, **more: str) -> str:
        done = project.run("rollback", "recipe.yaml", *words, **more)
        assert done.code == 1 and "Traceback" not in done.err
        return done.err

    assert "nothing is live" in refused()
    build(project, "v1", TOLD)
    assert "nothing is known that was live before tiny:v1" in refused()
    assert "has no version tiny:v9" in refused("--to", "v9")
    assert "no Ollama answers" in refused(OLLAMA_HOST=NOBODY)
    build(project, "v2", TOLD)
    before, said = dict(server.models), env.read_text()
    server.fault = lambda method, path, asked: path == "/api/copy"
    assert "disk trouble" in refused()
    server.fault = lambda method, path, asked: False
    assert server.models == before and env.read_text() == said
    # A file that cannot be written: nothing is moved.
    project.edit("path: .env", f"path: {'x' * 250}")
    assert "cannot be written into" in refused()
    assert server.models == before
    project.edit(f"deploy:\n{TOLD.replace('.env', 'x' * 250)}", "")
    assert "is deployed nowhere" in refused()

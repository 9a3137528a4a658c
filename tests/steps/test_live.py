"""What a build does on a server beside its own version, on loopback: what it removes there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback.ollama_models import ModelServer
from tests.steps.project import Project

NOBODY = "http://127.0.0.1:9"
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
    assert tags(server) == {"tiny:v3", "tiny:v2", "tiny:latest", "tiny:by-hand"}
    again = project.run("build", "recipe.yaml")
    assert again.ran == []

    # A lower number is an edit like any other.
    out = build(project, "v3", "  ollama: {model: tiny, keep: 1}\n")
    assert "removed from Ollama: tiny:v2" in out
    assert tags(server) == {"tiny:v3", "tiny:latest", "tiny:by-hand"}


def test_without_keep_all_versions_stay(project: Project, server: ModelServer) -> None:
    for version in ("v1", "v2", "v3"):
        build(project, version, "  ollama: {model: tiny}\n")
    assert tags(server) == {"tiny:v1", "tiny:v2", "tiny:v3", "tiny:latest"}


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

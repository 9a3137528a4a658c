"""deploy through the whole build, against a real Ollama."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jessy_build.packaging import glance, modelfile
from jessy_build.packaging.ollama_server import Server
from tests import ollama_server
from tests.steps.project import Project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ollama_server.serve(tmp_path_factory.mktemp("ollama")) as host:
        yield host


def test_a_build_follows_what_ollama_really_serves(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    nobody = {"OLLAMA_HOST": "127.0.0.1:9"}
    there = {"OLLAMA_HOST": server}
    assert "deploy" in project.run("build", "recipe.yaml", **nobody).ran

    arrived = project.run("build", "recipe.yaml", **there)
    assert arrived.code == 0, arrived.out + arrived.err
    # The files of the deploy come out the same, so nothing behind it runs.
    assert arrived.ran == ["deploy"], "a server answers now: the folder is not enough"
    assert "ollama run tiny:v1" in arrived.out
    assert project.run("build", "recipe.yaml", **there).ran == []

    home = tmp_path / "home"
    ollama = [str(ollama_server.binary())]
    environment = ollama_server.environment(home, server)
    subprocess.run([*ollama, "rm", "tiny:v1"], env=environment, check=True, capture_output=True)
    again = project.run("build", "recipe.yaml", **there)
    assert again.ran == ["deploy"], "what was removed by hand is put back"

    # The line that the build printed, as printed.
    line = next(line.strip() for line in again.out.splitlines() if "ollama run" in line)
    words = line.split("  ")[0].split()
    said = subprocess.run(
        [*ollama, *words[1:], "hello"], env=environment, capture_output=True, text=True, timeout=280
    )
    assert said.returncode == 0, said.stderr

    project.edit("temperature: 0.2", "temperature: 0.7")
    changed = project.run("build", "recipe.yaml", **there)
    assert changed.ran == ["deploy", "report"]
    shown = subprocess.run(
        [*ollama, "show", "tiny:v1", "--parameters"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0.7" in shown.stdout

    project.edit("temperature: 0.7", "temperature: 0.2")
    back = project.run("build", "recipe.yaml", **there)
    assert back.ran == ["deploy"], "its key is stored, but Ollama serves the other one"


def test_a_template_of_ones_own_has_to_make_the_prompts_of_the_training(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model, OLLAMA_HOST=server)
    project.edit("modelfile:\n", "modelfile:\n  template: turns.tmpl\n")
    project.edit("ollama: {model: tiny}", "ollama: {model: own}")
    right = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    template = project.root / "turns.tmpl"
    for wrong, said in (
        (right + "<|im_start|>model\n", "another prompt than it was trained on"),
        (right + "{{ if }}", "refused to create the model"),
    ):
        template.write_text(wrong, encoding="utf-8")
        done = project.run("build", "recipe.yaml")
        assert done.code == 1 and said in done.err and "mend turns.tmpl" in done.err, done.err
        assert glance.serving(server, "own:v1") is None
    template.write_text(right + "<|im_start|>assistant\n", encoding="utf-8")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    assert glance.serving(server, "own:latest")


def test_older_versions_go_and_what_was_live_before_comes_back(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model, OLLAMA_HOST=server)
    project.edit("ollama: {model: tiny}", "ollama: {model: kept, keep: 2}")
    for version in (1, 2, 3):
        if version > 1:
            project.edit(f"version: v{version - 1}", f"version: v{version}")
            project.edit(f"temperature: 0.{version}}}", f"temperature: 0.{version + 1}}}")
        done = project.run("build", "recipe.yaml")
        assert done.code == 0, done.err
    assert "removed from Ollama: kept:v1" in done.out
    served = {tag: made for tag, made in tags(server).items() if tag.startswith("kept:")}
    assert served.keys() == {"kept:v2", "kept:v3", "kept:latest", "kept:previous"}
    assert served["kept:latest"] == served["kept:v3"] != served["kept:v2"]

    back = project.run("rollback", "recipe.yaml")
    assert back.code == 0 and "kept:v2 (build 2) is live again" in back.out, back.err
    assert tags(server)["kept:latest"] == served["kept:v2"]
    words = [str(ollama_server.binary()), "run", "kept", "hello"]
    environment = ollama_server.environment(tmp_path / "home", server)
    said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stderr
    assert project.run("rollback", "recipe.yaml", "--to", "v3").code == 0
    assert tags(server).items() >= served.items()


def test_terms_and_the_lowest_version_are_told_and_held(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model, OLLAMA_HOST=server)
    project.edit("ollama: {model: tiny}", "ollama: {model: under}")
    terms = '  license: Apache-2.0\n  license_file: terms.txt\n  requires: "0.14.0"\n'
    project.edit("modelfile:\n", f"modelfile:\n{terms}")
    (project.root / "terms.txt").write_text("Kendi koşullarım.\nİki satır.\n", encoding="utf-8")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    told = Server(server, allow_remote=False).ask("/api/show", {"model": "under"}, what="show")
    assert "Apache-2.0" in told["license"] and "İki satır." in told["license"]
    assert told["requires"] == "0.14.0"
    made = modelfile.parse((project.root / "builds/tiny/v1/Modelfile").read_text())
    assert made.license == ("Apache-2.0", "Kendi koşullarım.\nİki satır.\n")
    assert made.requires == "0.14.0"

    (project.root / "terms.txt").write_text("Başka koşullar.\n", encoding="utf-8")
    planned = project.run("plan", "recipe.yaml").out
    assert "modelfile.license_file" in planned and "terms.txt:1" in planned
    project.edit("0.14.0", "99.0.0")
    refused = project.run("build", "recipe.yaml")
    assert refused.code == 1
    assert "and the model requires 99.0.0 or newer" in refused.err
    again = Server(server, allow_remote=False).ask("/api/show", {"model": "under"}, what="show")
    assert again["license"] == told["license"], "nothing went live"


def tags(server: str) -> dict[str, str]:
    return glance.live(server) or {}


def test_the_modelfile_of_the_folder_is_taken_by_ollama_create(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    project.run("build", "recipe.yaml", OLLAMA_HOST="127.0.0.1:9")
    folder = project.root / "builds/tiny/v1"
    done = subprocess.run(
        [str(ollama_server.binary()), "create", "by-hand", "-f", str(folder / "Modelfile")],
        env=ollama_server.environment(tmp_path / "home", server),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

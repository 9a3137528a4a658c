"""The adapter alone through the whole build: base and LoRA as two files, put together by Ollama."""

import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from jessy_build.chat import BUILTIN, Chat
from jessy_build.example import Message
from jessy_build.packaging import modelfile
from jessy_build.packaging.gguf_file import open_gguf
from jessy_build.packaging.ollama_server import Server
from jessy_build.runtimes import ollama
from tests import ollama_server
from tests.bases import hub_server
from tests.conftest import RealBases
from tests.packaging.random_models import make_random_model
from tests.steps import test_real
from tests.steps.project import Project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ollama_server.serve(tmp_path_factory.mktemp("ollama")) as host:
        yield host


def alone(root: Path, base: Path, **env: str) -> Project:
    project = Project.make(root, base, **env)
    project.edit("modelfile:\n", "export: {kind: adapter}\nmodelfile:\n")
    return project


def test_ollama_answers_with_base_and_adapter_as_was_evaluated(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = alone(tmp_path / "p", tiny_model, OLLAMA_HOST=server)
    # Strong enough that the tiny model says something else than its base.
    project.edit("learning_rate: 1e-3", "learning_rate: 2e-2")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    assert "fuse" not in done.ran and "adapter.gguf" in done.out

    folder = project.root / "builds/tiny/v1"
    made = modelfile.parse((folder / "Modelfile").read_text())
    assert (made.from_, made.adapter) == ("./model.gguf", "./adapter.gguf")
    assert open_gguf(folder / "adapter.gguf").meta["adapter.lora.alpha"] == 8.0
    told = Server(server, allow_remote=False).ask("/api/show", {"model": "tiny"}, what="show")
    assert "\nADAPTER " in told["modelfile"]

    first, *_ = test_real.evaluated(project.root)
    assert first["tuned"] != first["base"], "else nothing is proved"
    assert served(server, "tiny:v1", first["prompt"], 6) == first["tuned"]
    said = project.run("chat", "recipe.yaml", "--prompt", "hello", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["answer"].startswith(first["tuned"].strip()[:3])
    assert project.run("build", "recipe.yaml").ran == []

    by_hand = subprocess.run(
        [str(ollama_server.binary()), "create", "by-hand", "-f", str(folder / "Modelfile")],
        env=ollama_server.environment(tmp_path / "home", server),
        capture_output=True,
        text=True,
    )
    assert by_hand.returncode == 0, by_hand.stderr
    assert served(server, "by-hand", first["prompt"], 6) == first["tuned"]


def test_a_second_persona_on_the_base_brings_its_adapter_alone(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    for name in ("one", "two"):
        project = alone(tmp_path / name, tiny_model, OLLAMA_HOST=server)
        project.edit("name: tiny", f"name: {name}")
        project.edit("ollama: {model: tiny}", f"ollama: {{model: {name}}}")
        project.edit("alpha: 8", f"alpha: {4 + len(name) if name == 'two' else 8}")
        assert project.run("build", "recipe.yaml").code == 0
    bases, adapters = (
        {(tmp_path / name / "builds" / name / "v1" / file).read_bytes() for name in ("one", "two")}
        for file in ("model.gguf", "adapter.gguf")
    )
    assert (len(bases), len(adapters)) == (1, 2)


def test_the_server_quantises_the_base_and_leaves_the_adapter(
    tmp_path: Path, tiny_model: Path, server: str
) -> None:
    project = alone(tmp_path / "p", tiny_model, OLLAMA_HOST=server)
    project.edit("ollama: {model: tiny}", "ollama: {model: small, quantize: q8_0}")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    told = Server(server, allow_remote=False).ask("/api/show", {"model": "small"}, what="show")
    assert told["details"]["quantization_level"] == "Q8_0"
    layers = [line.rpartition("sha256-")[2] for line in told["modelfile"].splitlines()]
    kept = (project.root / "builds/tiny/v1/adapter.gguf").read_bytes()
    assert sha256(kept).hexdigest() in layers, "as it was uploaded"


def test_the_other_kind_of_export_is_planned_and_built(tmp_path: Path, tiny_model: Path) -> None:
    project = Project.make(tmp_path / "p", tiny_model)
    project.run("build", "recipe.yaml")
    project.edit("modelfile:\n", "export: {kind: adapter}\nmodelfile:\n")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.err
    # What is asked and trained stays.
    assert sorted(done.ran) == ["deploy", "evaluate", "gguf", "parity", "report"]
    page = (project.root / "builds/tiny/v1/report.html").read_text()
    assert "with its adapter on top" in page


@pytest.mark.parametrize("family", ["gemma3", "qwen3"])
def test_what_ollama_cannot_serve_is_refused_by_check(tmp_path: Path, family: str) -> None:
    project = alone(tmp_path / "p", make_random_model(tmp_path / "base", family))
    done = project.run("check", "recipe.yaml")
    assert done.code == 2
    assert "recipe.yaml:14:16: error[R260]" in done.err
    assert f"cannot be served alone: Ollama runs {family} on an engine of its own" in done.err
    # llama.cpp can.
    project.edit("deploy:\n  ollama: {model: tiny}\n", "")
    assert project.run("check", "recipe.yaml").code == 0


def test_a_base_of_a_hub_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    base = make_random_model(tmp_path / "base", "gemma3")
    with hub_server.serve(base) as hub:
        project = alone(tmp_path / "p", base, HF_ENDPOINT=hub.url)
        named = f'"hf:{hub_server.REPO}", revision: {hub_server.COMMIT}'
        project.edit('"path:base"', named)
        fresh = project.run("build", "recipe.yaml")
        assert fresh.code == 1 and "train" not in fresh.ran
        assert "an engine of its own, which has no LoRA" in fresh.err

        project.edit("kind: adapter", "kind: fused")
        assert project.run("build", "recipe.yaml", "--until", "convert").code == 0
        project.edit("kind: fused", "kind: adapter")
        for command in ("plan", "build"):
            known = project.run(command, "recipe.yaml")
            assert known.code == 2 and "error[R260]" in known.err and known.ran == []


@pytest.mark.real
def test_smollm2_speaks_as_trained_with_its_adapter_on_top(
    tmp_path: Path, real_bases: RealBases, server: str
) -> None:
    project = test_real.real_project(tmp_path, real_bases.smollm2)
    project.edit("deploy:\n", "export: {kind: adapter}\ndeploy:\n")
    project.edit("ollama: {model: real}", "ollama: {model: real, quantize: q4_K_M}")
    done = project.run("build", "recipe.yaml", OLLAMA_HOST=server)
    assert done.code == 0, done.out + done.err
    first, _ = test_real.evaluated(tmp_path)
    assert first["tuned"] == "Sor kanka, dinliyorum."
    assert len(first["base"]) > 60, "the base rambles"
    # The base may be rounded as far as q4_K_M: of the adapter nothing is.
    assert served(server, "real:v1", first["prompt"], 32) == first["tuned"]


def served(host: str, tag: str, user: str, tokens: int) -> str:
    prompt = Chat(BUILTIN["chatml"]).render([Message("user", user)], True)
    with ollama.open(host, tag, bos="<|im_start|>") as runtime:
        return runtime.ask(prompt, tokens).text

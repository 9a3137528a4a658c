"""The real huggingface_hub client, and a hub on loopback that misbehaves on demand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from tests.bases.hub_server import COMMIT, REPO, Hub, serve
from tests.bases.ordering import Ordering

MODEL = f"hf:{REPO}"


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[Hub]:
    with serve(tiny_model) as running:
        yield running


@pytest.fixture
def order(tmp_path: Path, hub: Hub) -> Ordering:
    return Ordering(tmp_path, {"HF_ENDPOINT": hub.url, "HOME": str(tmp_path), "PATH": "/usr/bin"})


def refusal(order: Ordering, revision: str = COMMIT) -> StepError:
    with pytest.raises(StepError) as caught:
        order.fetch(MODEL, revision=revision)
    assert not any(name.startswith("model") for name in order.left())
    return caught.value


def test_the_model_arrives_whole_and_nothing_else_is_asked(
    order: Ordering, hub: Hub, tiny_model: Path
) -> None:
    hub.files["README.md"] = b"not needed"
    hub.files["pytorch_model.bin"] = b"not needed either"
    fetched = order.fetch(MODEL, revision=COMMIT)
    wanted = {p.name: p.read_bytes() for p in tiny_model.iterdir()}
    assert fetched.kind == "folder"
    assert {p.name: p.read_bytes() for p in fetched.path.iterdir()} == wanted
    assert order.left() == sorted(["model", *(f"model/{name}" for name in wanted)])
    assert {name: hub.downloads(name) for name in wanted} == dict.fromkeys(wanted, 1)
    assert hub.downloads("README.md") == hub.downloads("pytorch_model.bin") == 0
    # With its telemetry on, the client would also ask for the ways to tell who drives it.
    assert all(COMMIT in line for line in hub.asked)


def test_a_branch_is_no_revision(order: Ordering, hub: Hub) -> None:
    assert "'main' is no commit" in refusal(order, revision="main").problem
    assert hub.asked == []


def test_pickles_are_refused_before_a_byte_of_them_is_fetched(order: Ordering, hub: Hub) -> None:
    hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
    assert "pickle files (pytorch_model.bin)" in refusal(order).problem
    assert not any("/resolve/" in line for line in hub.asked)


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja"])
def test_damaged_bytes_are_found_by_the_hubs_own_digest(
    order: Ordering, hub: Hub, name: str
) -> None:
    hub.damage.add(name)
    assert f"{name} of {MODEL} has the wrong digest" in refusal(order).problem
    assert order.left() == []


def test_a_model_with_code_of_its_own_is_refused(order: Ordering, hub: Hub) -> None:
    config = json.loads(hub.files["config.json"])
    hub.files["config.json"] = json.dumps({**config, "model_file": "own.py"}).encode()
    hub.files["own.py"] = b"raise SystemExit('it ran')"
    assert "needs Python code of its own" in refusal(order).problem
    assert hub.downloads("own.py") == 0


def test_a_cut_connection_is_gone_on_from(order: Ordering, hub: Hub) -> None:
    hub.cut["model.safetensors"] = 1000
    fetched = order.fetch(MODEL, revision=COMMIT)
    assert (fetched.path / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


@pytest.mark.parametrize(
    ("fault", "said", "advice"),
    [
        ("gated", "asks for a licence to be accepted", "HF_TOKEN"),
        ("no commit", f"has no commit {COMMIT[::-1]}", "Files and versions"),
        ("no model", "the hub has no model", "base.model"),
    ],
)
def test_each_refusal_of_the_hub_has_its_answer(
    tmp_path: Path, order: Ordering, hub: Hub, fault: str, said: str, advice: str
) -> None:
    hub.gated = fault == "gated"
    revision = COMMIT[::-1] if fault == "no commit" else COMMIT
    model = "hf:tiny/other" if fault == "no model" else MODEL
    with pytest.raises(StepError) as caught:
        order.fetch(model, revision=revision)
    assert said in caught.value.problem
    assert advice in caught.value.hint


def test_no_network_is_said_plainly(tmp_path: Path) -> None:
    order = Ordering(tmp_path, {"HF_ENDPOINT": "http://127.0.0.1:9", "HOME": str(tmp_path)})
    error = refusal(order)
    assert f"the model hub cannot be reached, and {MODEL} is needed" in error.problem
    assert "HF_ENDPOINT" in error.hint


def test_offline_asks_nothing(order: Ordering, hub: Hub) -> None:
    order.env["JESSY_OFFLINE"] = "1"
    assert "JESSY_OFFLINE forbids" in refusal(order).problem
    assert hub.asked == []


def test_a_stop_ends_the_download(order: Ordering, hub: Hub) -> None:
    order.cancelled = lambda: True
    with pytest.raises(KeyboardInterrupt):
        order.fetch(MODEL, revision=COMMIT)
    assert not any(name.startswith("model") for name in order.left())

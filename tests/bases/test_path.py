"""A model folder of one's own: what is taken, what is left, what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from tests.bases.ordering import Ordering


@pytest.fixture
def model(tmp_path: Path, tiny_model: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model-folder"))


def refusal(tmp_path: Path) -> StepError:
    order = Ordering(tmp_path)
    with pytest.raises(StepError) as caught:
        order.fetch("path:./model-folder")
    assert order.left() == []
    return caught.value


def test_the_needed_files_are_copied_and_nothing_else(tmp_path: Path, model: Path) -> None:
    needed = {p.name: p.read_bytes() for p in model.iterdir()}
    for name in ("README.md", "pytorch_model.bin", "modeling_own.py", "optimizer.pt"):
        (model / name).write_bytes(b"not needed")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.safetensors").write_bytes(b"of another format")
    order = Ordering(tmp_path)
    fetched = order.fetch("path:./model-folder")
    assert fetched.kind == "folder"
    assert {p.name: p.read_bytes() for p in fetched.path.iterdir()} == needed
    assert order.left() == sorted(["model", *(f"model/{name}" for name in needed)])
    size = sum(len(data) for data in needed.values())
    assert order.progress[-1][:2] == (size, size)


def test_a_later_edit_of_the_original_does_not_reach_the_copy(tmp_path: Path, model: Path) -> None:
    fetched = Ordering(tmp_path).fetch("path:./model-folder")
    before = (fetched.path / "config.json").read_bytes()
    with (model / "config.json").open("r+b") as file:
        file.write(b"edited in place")
    assert (fetched.path / "config.json").read_bytes() == before


def test_links_into_a_cache_are_followed(tmp_path: Path, model: Path) -> None:
    (model / "config.json").rename(tmp_path / "blob")
    (model / "config.json").symlink_to(tmp_path / "blob")
    fetched = Ordering(tmp_path).fetch("path:./model-folder")
    assert not (fetched.path / "config.json").is_symlink()
    assert json.loads((fetched.path / "config.json").read_text())["model_type"] == "llama"


def test_weights_in_pickles_are_refused(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    error = refusal(tmp_path)
    assert "pickle files (pytorch_model.bin)" in error.problem
    assert ".safetensors" in error.hint


@pytest.mark.parametrize(
    ("file", "key"), [("config.json", "model_file"), ("tokenizer_config.json", "auto_map")]
)
def test_a_model_that_brings_its_own_code_is_refused(
    tmp_path: Path, model: Path, file: str, key: str
) -> None:
    value = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**value, key: "own.py"}))
    assert "needs Python code of its own" in refusal(tmp_path).problem


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_lacking_file_is_named(tmp_path: Path, model: Path, name: str) -> None:
    (model / name).unlink()
    assert name in refusal(tmp_path).problem.replace("model*.safetensors", "model.safetensors")


@pytest.mark.parametrize("bytes_lost", [1, 5000])
def test_weights_that_were_cut_short_are_found(
    tmp_path: Path, model: Path, bytes_lost: int
) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-bytes_lost])
    assert "model.safetensors" in refusal(tmp_path).problem


def test_a_pointer_file_in_place_of_weights_is_found(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").write_text("version https://example/spec/v1\noid sha256:00\n")
    assert "is no safetensors file" in refusal(tmp_path).problem


def test_a_lacking_shard_is_named(tmp_path: Path, model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00002-of-00002.safetensors" in refusal(tmp_path).problem


def test_a_folder_of_ggufs_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "model-folder").mkdir()
    (tmp_path / "model-folder" / "x.gguf").write_bytes(b"GGUF")
    error = refusal(tmp_path)
    assert "GGUF files (x.gguf)" in error.problem
    assert "gguf:" in error.hint


def test_what_a_killed_copy_left_is_replaced(tmp_path: Path, model: Path) -> None:
    order = Ordering(tmp_path)
    (order.out / ".copying").mkdir(parents=True)
    (order.out / ".copying" / "half").write_bytes(b"half")
    order.fetch("path:./model-folder")
    assert not any("half" in name for name in order.left())

"""What cannot be read or written is refused, with the reason and nothing half-made left behind."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jessy_build.chat import BUILTIN
from jessy_build.diagnostics import StepError
from jessy_build.packaging import gguf_read, gguf_write
from tests.packaging.random_models import make_random_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def gguf(folder: Path) -> bytes:
    gguf_write.write(folder, folder / "model.gguf", name="tiny")
    return (folder / "model.gguf").read_bytes()


def refused(path: Path, data: bytes, template: str | None = None) -> StepError:
    """The refusal; the output folder must not hold a model afterwards."""
    path.write_bytes(data)
    with pytest.raises(StepError) as caught:
        gguf_read.convert(path, path.parent / "out", chat_template=template)
    assert not (path.parent / "out" / "model.safetensors").exists()
    return caught.value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "shorter than a GGUF header"),
        (b"GGUF", "shorter than a GGUF header"),
        (b"PK\x03\x04" + bytes(60), "is not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "of version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "versions 2 and 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), "ends inside its header"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "ends inside its header"),
        (b"GGUF" + struct.pack("<IQQQ2sI", 3, 0, 1, 2, b"\xff\xfe", 4), "makes no sense"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 99), "makes no sense"),
    ],
)
def test_a_file_that_is_no_sound_gguf_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    assert problem in refused(tmp_path / "x.gguf", data).problem


def test_a_deeply_nested_header_is_refused(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", 9, 1) * 5000
    data = b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 9) + nested
    assert "makes no sense" in refused(tmp_path / "x.gguf", data).problem


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_file_cut_off_anywhere_is_refused(gguf: bytes, share: float, tmp_path: Path) -> None:
    problem = refused(tmp_path / "x.gguf", gguf[: int(len(gguf) * share)]).problem
    assert "is a broken GGUF" in problem


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"cannot read .*no\.gguf: No such file"):
        gguf_read.convert(tmp_path / "no.gguf", tmp_path / "out")


def test_an_unknown_architecture_is_refused_with_the_known_ones(
    gguf: bytes, tmp_path: Path
) -> None:
    error = refused(tmp_path / "x.gguf", gguf.replace(b"llama", b"mamba", 1))
    assert error.problem == "a GGUF of architecture 'mamba' cannot be converted"
    assert "gemma3" in error.hint


def test_an_unknown_pre_tokenizer_is_refused(gguf: bytes, tmp_path: Path) -> None:
    error = refused(tmp_path / "x.gguf", gguf.replace(b"smollm", b"smolla", 1))
    assert error.problem == "the GGUF's pre-tokenizer 'smolla' is not known here"


def test_an_unknown_quantisation_is_refused(gguf: bytes, tmp_path: Path) -> None:
    error = refused(tmp_path / "x.gguf", _with_type(gguf, "token_embd.weight", 254))
    assert "'token_embd.weight' is quantised as type 254" in error.problem


def test_a_tensor_of_another_family_is_refused(gguf: bytes, tmp_path: Path) -> None:
    error = refused(tmp_path / "x.gguf", gguf.replace(b"blk.0.attn_k", b"blk.0.attn_z", 1))
    assert error.problem == "tensor 'blk.0.attn_z.weight' has no place in a llama model"


def test_a_gguf_without_a_chat_template_asks_for_one(gguf: bytes, tmp_path: Path) -> None:
    data = gguf.replace(b"tokenizer.chat_template", b"tokenizer.chat_xxxxxxxx", 1)
    error = refused(tmp_path / "x.gguf", data)
    assert error.problem.endswith("has no chat template")
    assert error.hint == "set base.chat_template: llama3 | gemma | chatml or a file"
    gguf_read.convert(tmp_path / "x.gguf", tmp_path / "given", chat_template=BUILTIN["chatml"])


def test_a_template_whose_end_of_turn_is_no_token_is_refused(gguf: bytes, tmp_path: Path) -> None:
    error = refused(tmp_path / "x.gguf", gguf, template=BUILTIN["gemma"])
    assert "'<end_of_turn>', which is no token of the base" in error.problem


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("config.json", {"model_type": "mamba"}, "a model of type 'mamba' cannot be written"),
        ("config.json", {"rope_scaling": {"type": "yarn"}}, "scales its rope by 'yarn'"),
        ("tokenizer.json", {"pre_tokenizer": None}, "cuts text in a way"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "normalises text (Lowercase)"),
        ("tokenizer.json", {"model": {"type": "Unigram"}}, "a tokenizer of type 'Unigram'"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "is no complete model folder"),
    ],
)
def test_a_folder_that_no_gguf_can_hold_is_refused(
    folder: Path, file: str, change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    copy = _copy(folder, tmp_path / "model")
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | change))
    with pytest.raises(StepError) as caught:
        gguf_write.write(copy, tmp_path / "out.gguf", name="x")
    assert problem in caught.value.problem
    assert not list(tmp_path.glob("*out*"))


def test_merges_that_make_no_sense_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    """Their scores are made while the weights are written."""
    folder = make_random_model(tmp_path / "model", "gemma3")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"][7] = ["a", "b", "c"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(StepError, match="merges cannot be read: a merge of other than two"):
        gguf_write.write(folder, tmp_path / "out.gguf", name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused(
    folder: Path, file: str, tmp_path: Path
) -> None:
    copy = _copy(folder, tmp_path / "model")
    (copy / file).unlink()
    with pytest.raises(StepError, match=file):
        gguf_write.write(copy, tmp_path / "out.gguf", name="x")


def test_cut_off_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "model")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StepError, match="does not fit into the file"):
        gguf_write.write(copy, tmp_path / "out.gguf", name="x")


def test_an_unknown_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="kind 'q4_K_M'") as caught:
        gguf_write.write(folder, tmp_path / "out.gguf", kind="q4_K_M", name="x")
    assert "made by Ollama" in caught.value.hint


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"the old one")
    # The system's own limit on a file's size stands for a disk without space.
    program = f"""
import resource, sys
from pathlib import Path
from jessy_build.diagnostics import StepError
from jessy_build.packaging import gguf_write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    gguf_write.write(Path({str(folder)!r}), Path({str(out)!r}), name="x")
except StepError as error:
    sys.exit(error.problem + " / " + error.hint)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"cannot write {out}: File too large / free some space" in run.stderr
    assert out.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def _copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.glob("*.*"):
        if file.suffix != ".gguf":
            (to / file.name).write_bytes(file.read_bytes())
    return to


def _with_type(gguf: bytes, tensor: str, kind: int) -> bytes:
    """The tensor's type stands behind its name, its two dimensions and their count."""
    place = gguf.rindex(tensor.encode(), 0, gguf.index(b"blk.0.attn_k")) + len(tensor) + 4 + 16
    return gguf[:place] + struct.pack("<I", kind) + gguf[place + 4 :]


def test_a_disk_that_fails_while_more_is_written_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells of it once: to the flush that runs beside the writing."""
    told = []

    def failing(handle: int) -> None:
        if not told:
            told.append(handle)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(gguf_write._Flusher, "EACH", 1)
    monkeypatch.setattr(gguf_write.os, "fsync", failing)
    with pytest.raises(StepError, match="Input/output error"):
        gguf_write.write(folder, tmp_path / "new.gguf", name="tiny")
    assert told and not list(tmp_path.iterdir())

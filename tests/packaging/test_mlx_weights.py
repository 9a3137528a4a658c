"""A base of few bits, as mlx-lm writes it, is packaged as the numbers that MLX computes with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

from jessy_build.diagnostics import StepError  # noqa: E402
from jessy_build.packaging import gguf_write, mlx_weights  # noqa: E402
from tests.packaging.quantised import quantised  # noqa: E402

MODES = [
    {"group_size": 64, "bits": 4},
    {"group_size": 32, "bits": 3},
    {"group_size": 32, "bits": 6},
    {"group_size": 32, "bits": 8},
    {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    {"group_size": 32, "bits": 8, "mode": "mxfp8"},
    {"group_size": 16, "bits": 4, "mode": "nvfp4"},
]


def in_full(folder: Path) -> dict[str, Any]:
    """By mlx-lm's own code."""
    from mlx.utils import tree_flatten
    from mlx_lm.utils import dequantize_model, load_model

    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    return dict(tree_flatten(dequantize_model(model).parameters()))


@pytest.mark.parametrize("how", MODES, ids=lambda how: f"{how.get('mode', 'affine')}-{how['bits']}")
def test_its_matrices_are_those_of_mlx(
    tiny_model: Path, tmp_path: Path, how: dict[str, Any]
) -> None:
    small = quantised(tiny_model, tmp_path / "small", **how)
    read, wanted = mlx_weights.open_model(small), in_full(small)
    assert read.keys() == wanted.keys()
    assert any(isinstance(tensor, mlx_weights.Rounded) for tensor in read.values())
    for name, tensor in read.items():
        assert tensor.shape == wanted[name].shape
        assert mx.abs(mx.array(tensor.whole()) - wanted[name]).max().item() < 1e-6, name


def test_a_gguf_of_it_is_that_of_the_model_in_full(tiny_model: Path, tmp_path: Path) -> None:
    """Rows of q and k stand in another order there: the grid goes with them."""
    small = quantised(tiny_model, tmp_path / "small", group_size=32, bits=4)
    full = Path(shutil.copytree(small, tmp_path / "full"))
    config = json.loads((full / "config.json").read_text())
    (full / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if not k.startswith("quantization")})
    )
    mx.save_safetensors(str(full / "model.safetensors"), in_full(small), {"format": "mlx"})
    for folder in (small, full):
        gguf_write.write(folder, tmp_path / f"{folder.name}.gguf", name="same")
    assert (tmp_path / "small.gguf").read_bytes() == (tmp_path / "full.gguf").read_bytes()


def test_one_matrix_may_have_bits_of_its_own(tiny_model: Path, tmp_path: Path) -> None:
    own = {"model.embed_tokens": {"group_size": 32, "bits": 8}}
    small = quantised(tiny_model, tmp_path / "small", group_size=64, bits=4, own=own)
    read, wanted = mlx_weights.open_model(small), in_full(small)
    tensor = read["model.embed_tokens.weight"]
    assert isinstance(tensor, mlx_weights.Rounded) and tensor.bits == 8
    assert mx.allclose(mx.array(tensor.whole()), wanted["model.embed_tokens.weight"]).item()


@pytest.mark.parametrize("lost", ["config", "scales"])
def test_words_that_nothing_explains_are_refused(
    tiny_model: Path, tmp_path: Path, lost: str
) -> None:
    small = quantised(tiny_model, tmp_path / "small", group_size=64, bits=4)
    if lost == "config":
        shutil.copy(tiny_model / "config.json", small / "config.json")
    else:
        weights = dict(mx.load(str(small / "model.safetensors")))
        del weights["model.embed_tokens.scales"]
        mx.save_safetensors(str(small / "model.safetensors"), weights, {"format": "mlx"})
    with pytest.raises(StepError, match="is U32, and what it stands for is not said"):
        gguf_write.write(small, tmp_path / "out.gguf", name="none")

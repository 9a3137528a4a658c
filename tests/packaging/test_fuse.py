"""Base and adapter become one model; an adapter that gets lost on the way is noticed."""

import json
from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

from jessy_build.diagnostics import StepError  # noqa: E402
from jessy_build.packaging.fuse import fuse  # noqa: E402
from tests.packaging.adapters import write_adapter  # noqa: E402
from tests.packaging.quantised import quantised  # noqa: E402

KEYS = ["self_attn.q_proj", "mlp.down_proj"]


def logits(folder: Path, adapter: Path | None = None) -> Any:
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    if adapter is not None:
        load_adapters(model, str(adapter))
    model.set_dtype(mx.float32)
    return model(mx.array([[5, 17, 300, 42]]))


def test_the_fused_model_is_base_and_adapter(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_model, 0.1, KEYS)
    measured = fuse(tiny_model, adapter, tmp_path / "out")
    assert measured.mean_error < 0.02 * measured.effect
    assert mx.allclose(logits(tmp_path / "out"), logits(tiny_model, adapter), atol=0.02).item()
    assert not mx.allclose(logits(tmp_path / "out"), logits(tiny_model), atol=0.02).item()


def test_the_folder_holds_what_the_next_steps_count_on(tiny_model: Path, tmp_path: Path) -> None:
    fuse(tiny_model, write_adapter(tmp_path / "adapter", tiny_model, 0.1, KEYS), tmp_path / "out")
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "out" / file).read_bytes() == (tiny_model / file).read_bytes()
    weights: Any = mx.load(str(tmp_path / "out" / "model.safetensors"))
    before: Any = mx.load(str(tiny_model / "model.safetensors"))
    assert weights.keys() == before.keys()
    assert {weight.dtype for weight in weights.values() if weight.ndim == 2} == {mx.float16}
    assert {weight.dtype for weight in weights.values() if weight.ndim == 1} == {mx.float32}


def test_a_quantised_base_is_written_out_in_full(tiny_model: Path, tmp_path: Path) -> None:
    small = quantised(tiny_model, tmp_path / "small", group_size=32, bits=4)
    adapter = write_adapter(tmp_path / "adapter", small, 0.05, KEYS)
    measured = fuse(small, adapter, tmp_path / "out")
    assert measured.mean_error < 0.05 * measured.effect
    assert "quantization" not in json.loads((tmp_path / "out" / "config.json").read_text())


def test_an_adapter_that_changes_nothing_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_model, 0.0, KEYS)
    with pytest.raises(StepError, match="the adapter changes nothing"):
        fuse(tiny_model, adapter, tmp_path / "out")


def test_an_adapter_lost_in_rounding_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_model, 3e-4, KEYS)
    with pytest.raises(StepError, match="fusing lost the adapter"):
        fuse(tiny_model, adapter, tmp_path / "out")


def test_an_adapter_with_a_nan_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_model, float("nan"))
    with pytest.raises(StepError, match="fusing lost the adapter"):
        fuse(tiny_model, adapter, tmp_path / "out")


def test_an_adapter_of_another_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_model, 0.1, KEYS)
    weights: Any = mx.load(str(adapter / "adapters.safetensors"))
    weights = {name: mx.ones((3, 3)) for name in weights}
    mx.save_safetensors(str(adapter / "adapters.safetensors"), weights)
    with pytest.raises(StepError, match="could not be fused"):
        fuse(tiny_model, adapter, tmp_path / "out")

"""Each way to train, on the tiny model: it learns, outlives a kill, and is fused as it was."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.packaging.fuse import fuse
from jessy_build.trainers import estimate, lora
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import Progress, TrainJob
from tests.packaging.random_models import make_random_model
from tests.trainers.rows import write_dataset
from tests.trainers.test_lora import adapter, children_of, config, same_course, train

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

Made = Callable[..., TrainJob]

METHODS: dict[str, dict[str, Any]] = {
    "dora": {"method": "dora"},
    "qlora": {"base_bits": 4},
    "qdora": {"method": "dora", "base_bits": 8},
    "full": {"method": "full"},
}
HALVES = {"lora_a", "lora_b"}
LEAVES = {"dora": {*HALVES, "m"}, "qlora": HALVES, "qdora": {*HALVES, "m"}, "full": {"weight"}}
FAST = {
    # With what makes a resume hard: dropout, and an update of several batches.
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
    "epochs": 3,
    "batch_size": 4,
    "grad_accumulation": 2,
    "optimizer": {"learning_rate": 4e-3, "warmup_steps": 2, "weight_decay": 0.01},
}

every_method = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Made:
    def make(folder: str, **fields: Any) -> TrainJob:
        here = tmp_path / folder
        return TrainJob(tiny_model, dataset, here / "out", here / "work", config(**fields))

    return make


@every_method
def test_it_learns_and_what_it_leaves_is_fused_as_it_was_trained(
    job: Made, tmp_path: Path, name: str
) -> None:
    asked = job("it", **FAST, **METHODS[name])
    run = train(asked)
    losses = [seen.loss for seen in run.validation]
    assert run.best.loss == min(losses) < losses[0] - 0.2
    left: Any = mx.load(str(asked.out / "adapters.safetensors"))
    assert {path.rpartition(".")[2] for path in left} == LEAVES[name]
    assert run.trainable == sum(array.size for array in left.values())
    fused = fuse(asked.base, asked.out, tmp_path / "fused")
    assert fused.mean_error < 0.02 * fused.effect


@every_method
def test_a_killed_one_goes_on_and_ends_bit_for_bit_the_same(job: Made, name: str) -> None:
    straight = job("straight", **FAST, **METHODS[name])
    run = train(straight)
    killed = replace(job("killed", **FAST, **METHODS[name]), save_seconds=0.0)

    def kill_at_three(progress: Progress) -> None:
        if progress.done == 3:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError, match="killed from outside"):
        lora.train(killed, kill_at_three, lambda: False)
    again = train(killed)
    assert again.resumed is not None and 0 < again.resumed < again.steps
    assert adapter(killed) == adapter(straight) and same_course(again, run)


@every_method
def test_as_much_learns_as_was_said(job: Made, name: str) -> None:
    asked = job("it", steps=1, **METHODS[name])
    shape = estimate.shape(json.loads((asked.base / "config.json").read_text()))
    assert shape is not None
    said = estimate.trained(shape, asked.config)
    # The norms, which no estimate counts, are less than a hundredth of a layer.
    assert said == pytest.approx(train(asked).trainable, rel=0.01)


def test_a_dora_begins_as_its_base_and_keeps_the_lengths_of_its_rows(tiny_model: Path) -> None:
    from mlx_lm.utils import load_model

    from jessy_build.trainers import _model

    learner = _model.learner(tiny_model, config(method="dora"))
    learner.close()
    plain, _ = load_model(tiny_model)
    plain.set_dtype(mx.float32)
    tokens = mx.array([[5, 6, 7]])
    assert mx.allclose(learner.model(tokens), plain(tokens), atol=1e-4).item()
    layer = learner.model.layers[0].self_attn.q_proj
    assert mx.allclose(layer.m, mx.linalg.norm(layer.linear.weight, axis=1)).item()


@pytest.mark.parametrize("bits", [4, 8])
def test_what_is_fused_is_the_packed_base_and_not_the_one_it_was_packed_from(
    job: Made, tmp_path: Path, bits: int
) -> None:
    asked = job("it", steps=4, base_bits=bits, optimizer=FAST["optimizer"])
    train(asked)
    fuse(asked.base, asked.out, tmp_path / "fused")
    fused: Any = mx.load(str(tmp_path / "fused/model.safetensors"))
    whole: Any = mx.load(str(asked.base / "model.safetensors"))
    left: Any = mx.load(str(asked.out / "adapters.safetensors"))
    name = "model.layers.0.self_attn.q_proj"
    weight = whole[f"{name}.weight"]
    packed = mx.dequantize(*mx.quantize(weight, group_size=64, bits=bits), group_size=64, bits=bits)
    change = asked.config.lora.scale * (left[f"{name}.lora_a"] @ left[f"{name}.lora_b"]).T
    assert mx.allclose(fused[f"{name}.weight"], packed + change, atol=2e-4).item()
    assert not mx.allclose(fused[f"{name}.weight"], weight + change, atol=2e-4).item()
    # What is no projection stays as it was.
    assert mx.array_equal(fused["model.embed_tokens.weight"], whole["model.embed_tokens.weight"])


def test_of_a_full_training_the_last_layers_alone_change(job: Made, tmp_path: Path) -> None:
    asked = job("it", steps=2, method="full", lora={"layers": 1})
    train(asked)
    fuse(asked.base, asked.out, tmp_path / "fused")
    fused: Any = mx.load(str(tmp_path / "fused/model.safetensors"))
    whole: Any = mx.load(str(asked.base / "model.safetensors"))
    changed = {n for n in whole if not mx.array_equal(whole[n], fused[n]).item()}
    assert changed == {n for n in whole if n.startswith("model.layers.1.")}
    # Norms too, whose own gradient is MLX's.
    assert any("norm" in name for name in changed)


def test_a_base_that_is_quantised_is_trained_as_it_is_and_packed_no_second_time(
    job: Made, tmp_path: Path
) -> None:
    from mlx_lm.utils import load_model, quantize_model, save_model

    asked = job("it", **FAST)
    small = Path(shutil.copytree(asked.base, tmp_path / "small"))
    model, about = quantize_model(*load_model(asked.base), group_size=64, bits=4)
    save_model(small, model)
    (small / "config.json").write_text(json.dumps(about))
    run = train(replace(asked, base=small))
    assert run.validation[-1].loss < run.validation[0].loss - 0.2
    fused = fuse(small, asked.out, tmp_path / "fused")
    assert fused.mean_error < 0.05 * fused.effect
    with pytest.raises(StepError, match="packs the weights of a base that is quantised already"):
        train(replace(job("twice", base_bits=4), base=small))
    with pytest.raises(StepError, match="changes the weights of the base, and these are quantised"):
        train(replace(job("full", method="full"), base=small))


def test_a_base_whose_rows_cannot_be_packed_says_so(tmp_path: Path) -> None:
    base = make_random_model(tmp_path / "base", "llama")
    dataset = write_dataset(tmp_path / "data")
    asked = TrainJob(base, dataset, tmp_path / "out", tmp_path / "work", config(base_bits=4))
    with pytest.raises(StepError, match="down_proj has rows of 96"):
        train(asked)


# ── the key of a training


def test_a_recipe_that_says_what_was_always_done_has_the_key_it_always_had() -> None:
    assert config().decisive() == config(method="lora").decisive()
    assert not {"method", "base_bits"} & config().decisive().keys()


def test_what_a_full_training_does_not_read_is_no_part_of_its_key() -> None:
    one, other = (config(method="full", lora={"rank": rank}).decisive() for rank in (4, 8))
    assert one == other != config(method="full", lora={"layers": 1}).decisive()


def test_another_method_is_another_training() -> None:
    keys = [Config().decisive(), *(config(**fields).decisive() for fields in METHODS.values())]
    assert all(one != other for n, one in enumerate(keys) for other in keys[:n])

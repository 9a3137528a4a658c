"""Estimates from the numbers of a config.json, held against published counts and real trainings."""

import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build.bases.known import FOUR_BITS, KNOWN
from jessy_build.trainers import estimate, lora
from jessy_build.trainers.config import Config, Lora
from jessy_build.trainers.estimate import Shape
from jessy_build.trainers.lora import TrainJob
from tests.trainers.rows import write_dataset

PUBLISHED = {
    # Millions, as the makers count them, norms included.
    "SmolLM2 135M": 134.5,
    "Gemma 3 270M": 268.1,
    "SmolLM2 360M": 361.8,
    "Qwen 3 0.6B": 596.0,
    "Gemma 3 1B": 999.9,
    "Llama 3.2 1B": 1235.8,
    "SmolLM2 1.7B": 1711.4,
    "Qwen 3 1.7B": 1720.6,
    "Gemma 2 2B, 4 bits": 2614.3,
    "Llama 3.2 3B, 4 bits": 3212.7,
    "Gemma 3 4B, 4 bits": 3880.3,
    "Qwen 3 4B, 4 bits": 4022.5,
    "Mistral 7B, 4 bits": 7248.0,
    "Llama 3.1 8B, 4 bits": 8030.3,
    "Qwen 3 8B, 4 bits": 8190.7,
}


def config(**fields: Any) -> Config:
    return Config.model_validate_json(json.dumps(fields))


def shape_of(name: str) -> Shape:
    said = next(known.config for known in KNOWN if known.name == name)
    found = estimate.shape(said)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_the_table_of_bases_counts_what_their_makers_count(name: str, millions: float) -> None:
    assert shape_of(name).parameters / 1e6 == pytest.approx(millions, rel=0.001)


def test_a_base_of_four_bits_weighs_what_its_file_does() -> None:
    small = estimate.memory(shape_of("Llama 3.1 8B, 4 bits"), config(), [100], "gpu", 8).weights
    # Four bits and a half for each: the file on the hub has 4.52 GB.
    assert small == pytest.approx(4.52e9, rel=0.01)


def test_the_halves_of_a_layer_are_all_of_it() -> None:
    shape = shape_of("SmolLM2 135M")
    halves = [
        estimate.trained(shape, Config(lora=Lora(targets=half))) for half in ("attention", "mlp")
    ]
    assert min(halves) > 0
    assert sum(halves) == estimate.trained(shape, Config())


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"hidden_size": 64},
        {"hidden_size": "wide"},
        {"num_local_experts": 8},
        {"num_experts": 128},
        {"num_attention_heads": 0, "head_dim": None},
    ],
)
def test_what_is_not_said_or_not_known_is_not_guessed(said: dict[str, Any]) -> None:
    whole = dict(KNOWN[0].config)
    assert estimate.shape(whole) is not None
    without = {} if set(said) <= {"hidden_size"} and said != {"hidden_size": "wide"} else whole
    assert estimate.shape({**without, **said}) is None


def test_a_model_that_sees_is_known_by_its_text_part() -> None:
    text = {**KNOWN[0].config}
    seeing = {"text_config": text, "vision_config": {"hidden_size": 7}, **FOUR_BITS}
    found = estimate.shape(seeing)
    assert found is not None and (found.hidden, found.bits) == (576, 4)


MORE = [
    # What makes a training larger, each beside the default.
    ({"batch_tokens": 448}, {"batch_tokens": 1792, "batch_size": 32}),
    ({"lora": {"rank": 16}}, {"lora": {"rank": 128}}),
    ({"lora": {"layers": 2}}, {"lora": {"layers": "all"}}),
    ({"lora": {"targets": ["q_proj"]}}, {"lora": {"targets": "all-linear"}}),
    ({"batch_size": 1}, {"batch_size": 8}),
]


@pytest.mark.parametrize(("less", "more"), MORE)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_each_field_that_costs_memory_is_heard(
    less: dict[str, Any], more: dict[str, Any], device: estimate.Device
) -> None:
    shape = shape_of("SmolLM2 135M")
    small, large = (
        estimate.memory(shape, config(**fields), [50, 100], device, 2).total
        for fields in (less, more)
    )
    assert small < large


@pytest.mark.parametrize(("device", "dearer"), [("gpu", True), ("cpu", False)])
def test_where_scores_are_kept_one_long_row_is_dearer_than_as_many_tokens_in_short_ones(
    device: estimate.Device, dearer: bool
) -> None:
    shape = shape_of("SmolLM2 135M")
    wanted = config(batch_size=8, batch_tokens=400)
    short, long = (estimate.memory(shape, wanted, [n], device, 2).activations for n in (50, 400))
    assert estimate.batch(wanted, 50).tokens == estimate.batch(wanted, 400).tokens == 400
    assert (long > 1.1 * short) is dearer


def test_tokens_are_rows_times_epochs_or_steps_times_batches() -> None:
    assert estimate.tokens(config(epochs=3), {100: 20, 50: 10}) == 3 * 2500
    assert estimate.tokens(config(steps=5, batch_size=2), {100: 20}) == 5 * 2 * 100
    assert estimate.tokens(config(steps=5, batch_tokens=448), {100: 20}) == 5 * 4 * 100
    assert estimate.tokens(config(steps=5), {}) == 0


def test_the_work_of_a_token_is_about_four_times_the_base_not_six() -> None:
    shape = shape_of("Qwen 3 8B, 4 bits")
    body = shape.layers * shape.of_a_layer
    assert 4 * body < estimate.work(shape, Config()) < 5 * shape.parameters
    assert estimate.work(shape, Config(lora=Lora(layers=1))) < 0.6 * estimate.work(shape, Config())


def test_a_real_training_of_the_tiny_model_takes_what_was_said(
    tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlx_lm")
    wanted = config(steps=2, batch_size=4)
    data = write_dataset(tmp_path / "data")
    job = TrainJob(tiny_model, data, tmp_path / "out", tmp_path / "work", wanted)
    took = lora.train(job, lambda _: None, lambda: False)
    shape = estimate.shape(json.loads((tiny_model / "config.json").read_text()))
    assert shape is not None
    assert estimate.trained(shape, wanted) == took.trainable
    said = estimate.memory(shape, wanted, [40], "cpu", 2).total
    assert said / 1.5 < took.peak_memory < said * 1.5


MEASURED = [
    # Megabytes that trainings took on 2 cores: base, tokens of a row, fields of train.
    ("SmolLM2 135M", 52, {}, 1608),
    ("SmolLM2 135M", 197, {}, 1551),
    ("SmolLM2 135M", 437, {"batch_size": 1}, 1658),
    ("SmolLM2 135M", 197, {"batch_tokens": 1792}, 3569),
    ("SmolLM2 135M", 52, {"lora": {"rank": 128}}, 2931),
    ("SmolLM2 135M", 52, {"batch_size": 2}, 1028),
    ("SmolLM2 135M", 52, {"lora": {"dropout": 0.1}}, 3570),
    ("SmolLM2 135M", 85, {"method": "dora"}, 1492),
    ("SmolLM2 135M", 85, {"base_bits": 4}, 1206),
    ("SmolLM2 135M", 85, {"base_bits": 4, "method": "dora"}, 1284),
    ("SmolLM2 135M", 85, {"method": "full"}, 5904),
    ("SmolLM2 135M", 85, {"method": "full", "lora": {"layers": 8}}, 2525),
    ("Gemma 3 270M", 52, {}, 1984),
    ("Gemma 3 270M", 437, {"batch_size": 1}, 2010),
    ("Gemma 3 270M", 197, {"batch_tokens": 900}, 2602),
    ("Qwen 3 0.6B", 52, {}, 4436),
]


@pytest.mark.parametrize(("name", "length", "fields", "megabytes"), MEASURED)
def test_what_was_measured_once_is_still_said(
    name: str, length: int, fields: dict[str, Any], megabytes: int
) -> None:
    said = estimate.memory(shape_of(name), config(**fields), [length], "cpu", 2).total
    assert said / 1e6 == pytest.approx(megabytes, rel=0.15)

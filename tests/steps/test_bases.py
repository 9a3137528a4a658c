"""The table of known bases: what people and scripts read, and which one is recommended."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jessy_build import bases
from jessy_build.bases.known import KNOWN, named
from jessy_build.steps import base_table, training
from jessy_build.steps.base_table import USUAL, Entry
from jessy_build.steps.training import Machine, Rate
from jessy_build.trainers import estimate
from jessy_build.trainers.config import Config
from tests.steps import published
from tests.steps.project import REPOSITORY, Project

LAPTOP = Machine("metal", 8, 16_000_000_000)


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return Project.make(tmp_path / "p", tiny_model)


def document(project: Project, *words: str, **env: str) -> dict[str, Any]:
    done = project.run("bases", *words, "--json", **env)
    assert done.code == 0, done.out + done.err
    found: dict[str, Any] = published.read(done.out, "bases")
    return found


def entries(on: Machine, operations: float) -> list[Entry]:
    found = []
    for known in KNOWN:
        shape = estimate.shape(known.config)
        assert shape is not None
        takes = training.by_shape(shape, Config(), USUAL, on, Rate(operations, ""))
        said = (known.name, known.model, known.sha256, known.chat_template)
        found.append(Entry(*said, known.license, known.english_only, takes))
    return found


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_each_base_of_the_table_is_written_as_a_recipe_takes_it(known: Any) -> None:
    source = bases.parse(known.model)
    revision = "a" * 40 if source.kind == "hf" else None
    assert not bases.complaints(source, revision=revision, sha256=known.sha256)
    assert named(f"  {known.model} ") is known


@pytest.mark.parametrize("name", ["quickstart.yaml", "quickstart-smollm2.yaml"])
def test_the_bases_of_our_recipes_stand_in_the_table_with_the_same_digest(name: str) -> None:
    from jessy_build.recipe.load import load

    base = load(REPOSITORY / "recipes" / name).recipe.base
    known = named(base.model)
    assert known is not None
    assert (known.sha256, known.chat_template) == (base.sha256, base.chat_template)


def test_the_table_goes_from_small_to_large() -> None:
    sizes = [one.training.parameters or 0 for one in entries(LAPTOP, 1e12)]
    assert sorted(round(size, -7) for size in sizes) == [round(size, -7) for size in sizes]


def test_without_a_recipe_a_thousand_rows_are_meant_and_no_store_is_made(project: Project) -> None:
    said = document(project, JESSY_MEMORY="6GB")
    assert (said["recipe"], said["rows"], said["tokens"]) == (None, 1000, 300_000)
    assert said["memory"] == 6_000_000_000
    fits = {one["name"]: one["training"]["fits"] for one in said["bases"]}
    assert fits["SmolLM2 135M"] and not fits["Llama 3.1 8B, 4 bits"]
    assert not (project.root / ".jessy").exists()


def test_each_method_of_training_takes_what_it_takes(project: Project) -> None:
    """And quantised weights cannot learn."""

    def taken(said: str) -> dict[str, int]:
        before = (project.root / "recipe.yaml").read_text()
        project.edit("train:\n", f"train:\n  {said}\n")
        found = document(project, "recipe.yaml")["bases"]
        project.write(before)
        return {one["name"]: one["training"]["memory"] for one in found}

    lora, packed, full = map(taken, ("method: lora", "base_bits: 4", "method: full"))
    whole = [name for name in lora if "4 bits" not in name]
    assert len(whole) < len(lora) == len(packed) and list(full) == whole
    assert all(packed[name] < lora[name] < full[name] for name in whole)


def test_with_a_recipe_its_rows_and_its_adapter_are_meant(project: Project) -> None:
    said = document(project, "recipe.yaml")
    assert said["recipe"] == "recipe.yaml" and said["rows"] == pytest.approx(24, abs=3)
    small = said["bases"][0]["training"]["trainable"]
    project.edit("rank: 4", "rank: 8")
    assert document(project, "recipe.yaml")["bases"][0]["training"]["trainable"] == 2 * small


def test_the_text_names_licence_model_and_what_to_write(project: Project) -> None:
    done = project.run("bases", JESSY_MEMORY="24GB")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    row = next(line for line in lines if line.startswith("Qwen 3 0.6B"))
    assert "Apache-2.0" in row and row.endswith("hf:Qwen/Qwen3-0.6B") and " yes " in row
    assert f"sha256: {KNOWN[0].sha256}, chat_template: chatml" in done.out
    assert lines[-1].startswith("Recommended: ")


def test_what_it_says_to_write_is_yaml_that_says_the_same() -> None:
    import yaml

    said = document_of(LAPTOP)
    written = [line for line in base_table.closing(said) if line.startswith("  base: ")]
    for line, known in zip(written, [k for k in KNOWN if k.sha256], strict=True):
        assert yaml.safe_load(line)["base"] == {
            "model": known.model,
            "sha256": known.sha256,
            "chat_template": known.chat_template,
        }


def document_of(on: Machine) -> base_table.Document:
    return base_table._document(base_table.Wanted(Config(), USUAL), on, [])


def test_a_recommendation_leaves_room_ends_soon_and_knows_more_than_english() -> None:
    small = replace(LAPTOP, memory=8_000_000_000)
    best, reason = base_table.recommended(entries(small, 9e12), small, english=False)
    assert best is not None and best.training.memory is not None
    assert best.training.memory <= 0.8 * 8e9 and (best.training.seconds or 0) <= 7200
    assert not best.english_only and "more than English" in reason
    larger, _ = base_table.recommended(entries(LAPTOP, 9e12), LAPTOP, english=False)
    assert larger is not None
    assert (larger.training.parameters or 0) > (best.training.parameters or 0)


def test_a_slow_machine_is_told_what_is_done_first_and_a_small_one_that_nothing_fits() -> None:
    slow, reason = base_table.recommended(entries(LAPTOP, 1e9), LAPTOP, english=False)
    assert slow is not None and slow.name.startswith("Gemma 3 270M")
    assert "none that knows more than English is trained in" in reason
    english, _ = base_table.recommended(entries(LAPTOP, 1e9), LAPTOP, english=True)
    assert english is not None and english.name == "SmolLM2 135M"
    tiny = replace(LAPTOP, memory=500_000_000)
    none, reason = base_table.recommended(entries(tiny, 1e12), tiny, english=False)
    assert none is None and "the smallest takes" in reason


def test_a_card_is_not_taken_for_the_memory_beside_it() -> None:
    card = Machine("cuda", 16, None)
    said = document_of(card)
    assert said.recommended is None and "JESSY_MEMORY" in said.reason
    assert {one.training.fits for one in said.bases} == {None}
    assert json.dumps(base_table.to_json(said))

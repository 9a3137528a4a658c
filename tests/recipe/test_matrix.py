"""A matrix is several recipes, each like one written by hand, and called by its values."""

from pathlib import Path
from typing import Any

import pytest

from jessy_build.recipe import matrix, model, shape, source
from jessy_build.recipe.load import LoadedRecipe, load
from jessy_build.recipe.source import Node

BASE = """\
recipe: 1
name: varied
version: v1
base: {model: "pypi:some==1#model.gguf", sha256: "%s"}
teachers: {curated: {kind: curated, files: [rows.jsonl]}}
categories: {smalltalk: {teacher: curated, count: all}, talk: {teacher: curated, count: 1}}
train: {lora: {rank: 16}}
modelfile: {parameters: {temperature: 0.5, top_p: 0.9}}
""" % ("0" * 64)


def root_of(text: str) -> Node:
    document = source.parse(BASE + text, "recipe.yaml")
    assert document.root is not None and not document.problems
    return document.root


def recipes(text: str) -> dict[str, model.Recipe]:
    root = root_of(text)
    assert list(matrix.problems(root)) == []
    made = {}
    for combination in matrix.combinations(root):
        shaped = shape.shape(combination.applied(root))
        assert shaped.recipe is not None and shaped.problems == ()
        made[combination.label] = shaped.recipe
    return made


def test_each_combination_is_a_recipe_in_the_order_written() -> None:
    made = recipes(
        "matrix: {train.lora.rank: [8, 16], train.optimizer.learning_rate: [3e-4, 1e-5]}"
    )
    assert list(made) == ["rank8-lr0.0003", "rank8-lr1e-05", "rank16-lr0.0003", "rank16-lr1e-05"]
    second = made["rank8-lr1e-05"]
    assert (second.train.lora.rank, second.train.optimizer.learning_rate) == (8, 1e-5)
    assert second.version == "v1-rank8-lr1e-05" and second.name == "varied"
    assert second.matrix == {}


def test_a_recipe_without_a_matrix_has_no_combinations() -> None:
    assert recipes("") == {} and recipes("matrix: {}") == {}


def test_a_mapping_is_merged_and_null_takes_away() -> None:
    merged, less = recipes("matrix: {modelfile.parameters: [{temperature: 0.9}, null]}").values()
    assert merged.modelfile.parameters.given() == {"temperature": 0.9, "top_p": 0.9}
    assert less.modelfile.parameters.given() == {}


def test_a_version_that_is_varied_is_not_added_to() -> None:
    made = recipes("matrix: {version: [small, large]}")
    assert {label: recipe.version for label, recipe in made.items()} == {
        "small": "small",
        "large": "large",
    }
    both = recipes("matrix: {train.seed: [1], version: [small, large]}")
    assert [recipe.version for recipe in both.values()] == ["small-seed1", "large-seed1"]


LABELS: list[tuple[str, Any, list[str]]] = [
    ("train.optimizer.schedule", "[cosine, linear]", ["schedule-cosine", "schedule-linear"]),
    ("dataset.validate.words", "[true, false]", ["words-on", "words-off"]),
    ("train.lora.targets", "[all-linear, [q_proj, v_proj]]",
     ["targets-all-linear", "targets-q-proj-v-proj"]),
    ("persona", "[null, {name: Görüş}]", ["persona-none", "persona-name-gorus"]),
    ("description", f"[{'x' * 30}a, {'x' * 30}b]",
     ["description-no1", "description-no2"]),
    ("description", '["…", "ok"]', ["description-no1", "description-no2"]),
    ("train.epochs", "[1, 2]", ["epochs1", "epochs2"]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "values", "labels"), LABELS)
def test_a_label_is_made_of_names_and_values(field: str, values: str, labels: list[str]) -> None:
    assert list(recipes(f"matrix: {{{field}: {values}}}")) == labels


def test_fields_that_end_alike_are_called_by_what_stands_before() -> None:
    text = "matrix: {categories.talk.count: [1, 2], categories.smalltalk.count: [3]}"
    assert list(recipes(text)) == ["talk-count1-smalltalk-count3", "talk-count2-smalltalk-count3"]


def test_every_version_is_a_tag_that_ollama_takes_and_no_two_are_the_same() -> None:
    long = f"persona.name: [{'a' * 60}, {'b' * 60}]"
    text = f"matrix: {{{long}, train.optimizer.learning_rate: [1e-4], description: [{'c' * 23}]}}"
    text += "\npersona: {name: x}"
    versions = [recipe.version for recipe in recipes(text).values()]
    assert all(len(version) <= 64 for version in versions)
    assert len(set(versions)) == 2, versions


def test_sixty_four_combinations_are_taken_and_more_are_not() -> None:
    numbers = list(range(1, 33))
    assert len(recipes(f"matrix: {{train.seed: {numbers}, train.epochs: [1, 2]}}")) == 64
    root = root_of(f"matrix: {{train.seed: {[*numbers, 33]}, train.epochs: [1, 2]}}")
    (problem,) = matrix.problems(root)
    assert problem.code == "R229" and "33 × 2 = 66" in problem.problem
    assert matrix.combinations(root) == ()


def test_a_value_knows_its_place_in_the_matrix(tmp_path: Path) -> None:
    loaded = _loaded(tmp_path, "matrix:\n  train.lora.rank: [8, 16]\n")
    last = matrix.combinations(loaded.opened.root)[-1]
    one = load(tmp_path / "recipe.yaml", combination=last)
    assert (one.span_of("train.lora.rank").line, one.span_of("train.lora.rank").column) == (10, 24)
    assert one.span_of("train.lora").line == 7
    assert one.variant == "rank16" and one.recipe.version == "v1-rank16"
    assert one.options == ("--variant", "rank16")
    assert loaded.variant == "" and loaded.recipe.matrix == {"train.lora.rank": (8, 16)}


def _loaded(folder: Path, text: str) -> LoadedRecipe:
    (folder / "Justfile").touch()
    rows = '{"category": "%s", "user": "naber", "assistant": "İyiyim, sen?"}\n'
    (folder / "rows.jsonl").write_text(rows % "talk" + rows % "smalltalk", encoding="utf-8")
    (folder / "recipe.yaml").write_text(BASE + text, encoding="utf-8")
    return load(folder / "recipe.yaml")

"""The files of suites: read into the recipe, and told like the recipe's own fields."""

import json
from pathlib import Path

import pytest

from jessy_build.diagnostics import RecipeError
from jessy_build.evaluators.config import Suite, Words
from jessy_build.recipe import suites
from jessy_build.recipe.load import LoadedRecipe, load
from jessy_build.recipe.suites import expected

RECIPE = """\
recipe: 1
name: x
version: v1
base: {model: "path:base"}
teachers: {curated: {kind: curated, files: [rows.jsonl]}}
categories: {smalltalk: {teacher: curated, count: all}}
"""
MANNER = """\
expect: {words: level, language: same, ends: true}
prompts:
  - {prompt: naber, language: tr, complexity: low}
  - {prompt: hey, language: en, expect: {words: {max: 5}, language: mixed}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Justfile").touch()
    (tmp_path / "base").mkdir()
    (tmp_path / "rows.jsonl").write_text('{"user": "naber", "assistant": "İyiyim, senden?"}\n')
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites/manner.yaml").write_text(MANNER, encoding="utf-8")
    return tmp_path


def loaded(folder: Path, more: str, *overrides: str) -> LoadedRecipe:
    (folder / "recipe.yaml").write_text(RECIPE + more, encoding="utf-8")
    return load(folder / "recipe.yaml", overrides)


def rules(recipe: LoadedRecipe) -> list[object]:
    (suite,) = suites.of(recipe.recipe)
    return [expected(suite, prompt, recipe.recipe.complexity) for prompt in suite.prompts]


def test_a_file_is_read_in_the_place_of_its_path(folder: Path) -> None:
    recipe = loaded(folder, "evaluate: {suites: [suites/manner.yaml]}\n")
    (suite,) = suites.of(recipe.recipe)
    assert isinstance(suite, Suite) and suite.name == "manner"
    assert rules(recipe) == [
        {"words": {"min": 1, "max": 40}, "language": "tr", "ends": True},
        {"words": {"min": 1, "max": 5}, "language": "mixed", "ends": True},
    ]
    span = recipe.span_of("evaluate.suites.manner.prompts.hey.expect.words.max")
    assert Path(span.file).name == "manner.yaml" and (span.line, span.column) == (4, 55)
    assert "suites/manner.yaml" in recipe.files, "an edit must be seen"
    assert folder / "suites/manner.yaml" in recipe.opened.named, "by the short road, too"


def test_it_may_stand_in_the_recipe_and_be_set_on_the_command_line(folder: Path) -> None:
    inline = "evaluate: {suites: [{name: own, prompts: [{prompt: a, expect: {ends: true}}]}]}\n"
    assert rules(loaded(folder, inline)) == [{"ends": True}]
    again = loaded(folder, inline, "evaluate.suites=[suites/manner.yaml]")
    assert [suite.name for suite in suites.of(again.recipe)] == ["manner"]


def test_paths_are_relative_to_the_recipe_that_says_them(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below/base.yaml").write_text("evaluate: {suites: [own.yaml]}\n")
    (folder / "below/own.yaml").write_text("name: far\n" + MANNER, encoding="utf-8")
    recipe = loaded(folder, "extends: below/base.yaml\ntrain: {keep: {suite: far}}\n")
    assert [suite.name for suite in suites.of(recipe.recipe)] == ["far"]


def test_a_suite_outside_of_the_project_is_not_read(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "suite.yaml"
    outside.write_text(MANNER, encoding="utf-8")
    with pytest.raises(RecipeError) as told:
        loaded(folder, f"evaluate: {{suites: [{json.dumps(str(outside))}]}}\n")
    assert [problem.code for problem in told.value.diagnostics] == ["R302"]
    loaded(folder, f"allow_outside: true\nevaluate: {{suites: [{json.dumps(str(outside))}]}}\n")


def test_words_say_at_least_one_unless_told_otherwise() -> None:
    assert Words().min == 1 and Words().max is None

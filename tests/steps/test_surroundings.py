"""What surrounds a build is part of no key: pools, a shared store; prices reach no request."""

from pathlib import Path

import pytest

from jessy_build.recipe.load import load
from jessy_build.steps import builds, items

RECIPE = """\
recipe: 1
name: surrounded
version: v1
base: {model: "path:base"}
teachers: {claude: {kind: anthropic, model: claude-haiku-5-5}}
categories: {talk: {teacher: claude, count: 3, prompt: ask.j2, turns: 2}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "Justfile").touch()
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    (tmp_path / "ask.j2").write_text("{{ complexity }}")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def keyed(recipe: Path, *overrides: str) -> list[tuple[str, object]]:
    """Of each step what its key is made of, the inputs apart."""
    return [(s.name, s.params) for s in builds.open_workspace(load(recipe, overrides), {}).plan]


@pytest.mark.parametrize(
    "override",
    ["pools={cpu: 4, network: 9, anthropic: 2}", "store=shared", "store=file:///nowhere"],
)
def test_pools_and_a_store_are_part_of_no_key(recipe: Path, override: str) -> None:
    assert keyed(recipe, override) == keyed(recipe)
    assert keyed(recipe, "train.seed=1") != keyed(recipe)


def asked(recipe: Path, *overrides: str) -> list[str]:
    workspace = builds.open_workspace(load(recipe, overrides), {})
    return list(items.questions(workspace.loaded, "talk", workspace.store.ledger).digests())


def test_prices_change_no_request(recipe: Path) -> None:
    prices = "teachers.claude.prices={input: 1, output: 5, as_of: 2026-11-01}"
    assert asked(recipe, prices) == asked(recipe)
    assert asked(recipe, "teachers.claude.model=claude-sonnet-5-5") != asked(recipe)

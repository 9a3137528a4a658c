"""What a fresh clone promises: recipes that check, rows that suffice, a lock without addresses."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from jessy_build.recipe.load import load
from tests.conftest import LONGEST, TESTS

ROOT = Path(__file__).parent.parent
RECIPES = sorted(p for p in (ROOT / "recipes").glob("*.yaml") if ".lock." not in p.name)
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-cuda.txt")


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_checks_without_a_warning(path: Path) -> None:
    # The example of prices grows old; what the test shows must not.
    assert load(path, today=date(2026, 12, 1)).warnings == ()


def test_the_quickstart_has_enough_rows_and_the_prompt_it_is_known_for() -> None:
    loaded = load(ROOT / "recipes/quickstart.yaml")
    rows = [row for category in loaded.recipe.categories for row in loaded.picked(category)]
    assert len(rows) >= 90
    assert any(row.messages[0].content == "sana bisi sorucam" for row in rows)


def test_no_evaluation_prompt_that_is_called_unseen_was_trained_on() -> None:
    loaded = load(ROOT / "recipes/quickstart.yaml")
    trained = {
        message.content.casefold()
        for rows in loaded.rows.values()
        for row in rows
        for message in row.messages
        if message.role == "user"
    }
    for prompt in loaded.evaluate_prompts:
        assert (prompt.prompt.casefold() in trained) == prompt.seen, prompt.prompt


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_hashes_and_no_addresses_and_never_torch(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text and "index-url" not in text
    pinned = re.findall(r"^([a-z0-9_.-]+)==", text, re.MULTILINE)
    assert "torch" not in pinned and "mlx" in pinned
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        if re.match(r"[a-z0-9_.-]+==", block):
            assert "--hash=sha256:" in block, block[:60]


def test_the_back_end_for_cuda_is_that_of_the_locked_mlx() -> None:
    cpu, cuda = (
        re.findall(r"^(mlx\S*)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
        for name in ("requirements.txt", "requirements-cuda.txt")
    )
    assert dict(cuda).keys() == {"mlx", "mlx-cuda-13"}
    assert set(dict(cuda).values()) == {dict(cpu)["mlx"]}


def test_every_dependency_is_capped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in (*project["dependencies"], *extras["mlx"], *extras["dev"]):
        assert re.search(r">=.+,<", requirement.split(";")[0]), requirement


def test_the_readme_names_every_recipe_and_every_word_of_the_justfile() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in RECIPES:
        assert f"recipes/{path.name}" in readme
    words = re.findall(r"^([a-z]+)(?: [^:\n]*)?:", (ROOT / "Justfile").read_text(), re.MULTILINE)
    public = set(words) - {"default", "docs", "lock", "set"}
    missing = [word for word in public if not re.search(rf"`[^`\n]*\b{word}\b", readme)]
    assert not missing, missing

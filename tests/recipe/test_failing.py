"""Every wrong recipe is told about in exactly the words that stand beside it."""

from pathlib import Path

import pytest

from tests.recipe import cases


@pytest.mark.parametrize("name", cases.written_cases())
def test_a_wrong_recipe_is_told_about_in_these_words(name: str) -> None:
    expected = (cases.FAILING / f"{name}.expected").read_text(encoding="utf-8")
    assert cases.problems(name)[1] == expected


@pytest.mark.parametrize("name", cases.MADE_CASES)
def test_an_unreadable_recipe_is_told_about_in_these_words(name: str, tmp_path: Path) -> None:
    cases.MADE_CASES[name](tmp_path)
    expected = (cases.FAILING / f"{name}.expected").read_text(encoding="utf-8")
    assert cases.problems(name, tmp_path)[1] == expected


def test_no_expected_text_has_lost_its_case() -> None:
    texts = {path.stem for path in cases.FAILING.glob("*.expected")}
    assert texts == {*cases.written_cases(), *cases.MADE_CASES}

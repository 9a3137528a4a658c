"""A part of a recipe's rows: the same kinds in the same shares, and nothing of the real build."""

import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.recipe import quotas, scale
from jessy_build.recipe.load import LoadedRecipe, load
from jessy_build.recipe.model import Category

RECIPE = """\
recipe: 1
name: parts
version: v1
base: {model: "pypi:some==1#model.gguf", sha256: "%s"}
teachers:
  curated: {kind: curated, files: [rows.jsonl]}
  local: {kind: ollama, model: small}
categories:
  everything: {teacher: curated, count: all}
  picked: {teacher: curated, count: 40, languages: {tr: 30, en: 10}, topics: {a: 30, b: 10}}
  asked:
    teacher: local
    prompt: ask.j2
    count: 100
    languages: {tr: 50, en: 50}
    complexity: {low: 0.5, medium: 0.5}
    topics: [{name: big, count: 90, style: short}, {name: small, count: 2}, open, other]
  plain: {teacher: local, prompt: plain.j2, count: 10}
""" % ("0" * 64)

Make = Callable[[], LoadedRecipe]


@pytest.fixture
def whole(tmp_path: Path) -> LoadedRecipe:
    rows = [{"category": "everything", "user": f"soru {n}", "assistant": "a"} for n in range(101)]
    for n in range(80):
        labels = {"language": "tr" if n % 2 else "en", "topic": "a" if n % 4 else "b"}
        rows.append({"category": "picked", "user": f"q {n}", "assistant": "a"} | labels)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "ask.j2").write_text("{{ topic.name }} {{ topic.style is defined and topic.style }}"
                                     " {{ language }} {{ complexity }}")  # fmt: skip
    (tmp_path / "plain.j2").write_text("{{ complexity }}")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return load(tmp_path / "recipe.yaml")


def test_counts_are_rounded_up_and_no_topic_goes(whole: LoadedRecipe) -> None:
    part = scale.scaled(whole, Fraction(1, 4))
    asked = part.recipe.categories["asked"]
    assert [(t.name, t.count) for t in part.topics("asked")] == [
        *(("big", 23), ("small", 1), ("open", 1), ("other", 1))
    ]
    assert asked.count == 26
    assert part.topics("asked")[0].vars == {"style": "short"}
    assert part.recipe.categories["plain"].count == 3


def test_rows_by_language_stay_in_their_shares(whole: LoadedRecipe) -> None:
    part = scale.scaled(whole, Fraction(1, 4))
    assert quotas.needs(part.recipe.categories["picked"]) == {
        "topic": {"a": 8, "b": 3},
        "language": {"tr": 8, "en": 3},
    }
    rows = part.picked("picked")
    assert Counter(row.language for row in rows) == {"tr": 8, "en": 3}
    assert Counter(row.topic for row in rows) == {"a": 8, "b": 3}


def test_of_all_rows_the_part_holds_however_the_file_is_ordered(whole: LoadedRecipe) -> None:
    quarter = scale.scaled(whole, Fraction(1, 4)).picked("everything")
    half = scale.scaled(whole, Fraction(1, 2)).picked("everything")
    assert (len(quarter), len(half)) == (26, 51)
    assert set(quarter) < set(half)
    assert [row.line for row in quarter] == sorted(row.line for row in quarter)
    file = whole.project / "rows.jsonl"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    turned = scale.scaled(load(whole.path), Fraction(1, 4)).picked("everything")
    assert {row.messages for row in turned} == {row.messages for row in quarter}


def test_a_part_is_built_beside_the_real_build(whole: LoadedRecipe) -> None:
    part = scale.scaled(whole, Fraction(1, 4))
    assert part.recipe.version == "v1-25pct" and part.recipe.name == "parts"
    assert part.variant == "at 25 %" and part.options == ("--scale", "25%")
    assert scale.scaled(whole, Fraction(1, 8)).recipe.version == "v1-12.5pct"


def test_the_whole_is_the_recipe_itself(whole: LoadedRecipe) -> None:
    assert scale.scaled(whole, Fraction(1)) is whole


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("0.25", Fraction(1, 4)),
        ("25%", Fraction(1, 4)),
        ("1/3", Fraction(1, 3)),
        ("1", Fraction(1)),
    ],
)
def test_a_share_is_written_as_people_write_it(text: str, share: Fraction) -> None:
    assert scale.share_of(text) == share


@pytest.mark.parametrize("text", ["0", "-0.1", "1.5", "150%", "half", "", "%", "nan", "inf"])
def test_what_is_no_part_of_the_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        scale.share_of(text)


@given(
    st.integers(1, 500),
    st.lists(st.integers(1, 60), max_size=6),
    st.integers(0, 3),
    st.integers(1, 99),
)
def test_a_part_adds_up_as_the_whole_did(
    spare: int, given_counts: list[int], others: int, hundredths: int
) -> None:
    """Whatever the counts: the topics fill the category, none is empty, and none grows."""
    count = sum(given_counts) + (max(others, spare) if others or not given_counts else 0)
    listed = [{"name": f"t{n}", "count": rows} for n, rows in enumerate(given_counts)]
    topics = [*listed, *({"name": f"o{n}"} for n in range(others))] or None
    text = json.dumps({"teacher": "x", "count": count, "topics": topics})
    category = Category.model_validate_json(text)
    part = scale.part_of(category, Fraction(hundredths, 100))
    made = quotas.topics("x", part)
    assert sum(topic.count or 0 for topic in made) == part.count <= count
    assert all(topic.count for topic in made)
    assert part.count >= count * hundredths / 100

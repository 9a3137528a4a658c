"""Quotas add up to the last row, and the rows that fill them are found where they exist."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessy_build.recipe import quotas
from jessy_build.recipe.model import Category
from jessy_build.teachers.curated import Row


def category(**fields: Any) -> Category:
    return Category.model_validate({"teacher": "t", "count": 10, **fields})


def row(line: int, topic: str = "", language: str = "", complexity: str = "") -> Row:
    return Row((str(line), "x"), "f", line, "c", topic, language, complexity)


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (None, {"cat": 10}),
        (("a", "b", "c"), {"a": 4, "b": 3, "c": 3}),
        ({"a": 7, "b": 3}, {"a": 7, "b": 3}),
        (({"name": "a", "count": 5}, "b", "c"), {"a": 5, "b": 3, "c": 2}),
        (("c", "b", "a"), {"c": 3, "b": 3, "a": 4}),
    ],
)
def test_topics_share_the_count_to_the_last_row(topics: Any, expected: dict[str, int]) -> None:
    found = quotas.topics("cat", category(topics=topics))
    assert {topic.name: topic.count for topic in found} == expected


def test_a_topic_keeps_its_variables() -> None:
    [topic] = quotas.topics("cat", category(topics=({"name": "a", "style": "short"},)))
    assert (topic.name, topic.count, topic.vars) == ("a", 10, {"style": "short"})


@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        ({"tr": 0.9, "mixed": 0.1}, {"tr": 9, "mixed": 1}),
        ({"tr": 0.5, "en": 0.3, "mixed": 0.2}, {"tr": 5, "en": 3, "mixed": 2}),
        ({"tr": 6, "en": 4}, {"tr": 6, "en": 4}),
        ({"tr": 1}, {"tr": 10}),
        ({"tr": 1 / 3, "en": 1 / 3, "mixed": 1 / 3}, {"tr": 3, "en": 4, "mixed": 3}),
    ],
)
def test_shares_and_rows_become_whole_rows(weights: Any, rows: dict[str, int]) -> None:
    assert quotas.needs(category(languages=weights))["language"] == rows


def test_the_first_rows_win() -> None:
    rows = [row(1, language="tr"), row(2, language="tr"), row(3, language="en")]
    picked = quotas.pick(category(count=2, languages={"tr": 1, "en": 1}), rows)
    assert [r.line for r in picked] == [1, 3]


def test_all_takes_every_row_as_it_is() -> None:
    rows = (row(1), row(2, "greeting", "tr", "low"))
    assert quotas.pick(category(count="all"), rows) == rows


def test_what_a_row_does_not_say_is_filled_with_what_is_needed() -> None:
    rows = [row(1), row(2, language="tr"), row(3)]
    picked = quotas.pick(category(count=3, languages={"tr": 2, "en": 1}), rows)
    assert sorted(r.language for r in picked) == ["en", "tr", "tr"]
    assert [r.line for r in picked] == [1, 2, 3]


def test_an_early_row_gives_way_where_it_stands_in_the_way() -> None:
    rows = [
        row(1, language="tr", complexity="medium"),
        row(2, language="en", complexity="medium"),
        row(3, language="tr", complexity="low"),
    ]
    wanted = category(count=2, languages={"tr": 1, "en": 1}, complexity={"low": 1, "medium": 1})
    assert [r.line for r in quotas.pick(wanted, rows)] == [2, 3]


LABELS = st.tuples(
    st.sampled_from(["a", "b", ""]), st.sampled_from(["tr", "en"]), st.sampled_from(["low", "high"])
)


@settings(max_examples=150)
@given(st.lists(LABELS, min_size=1, max_size=25), st.data())
def test_where_a_choice_exists_it_is_found_and_meets_every_need(
    labels: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    rows = [row(number, *said) for number, said in enumerate(labels)]
    # The needs are those of some of the rows, so that at least one choice exists.
    kept = data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    some = [said for said, keep in zip(labels, kept, strict=True) if keep] or labels[:1]
    languages = Counter(language for _, language, _ in some)
    levels = Counter(level for _, _, level in some)
    wanted = category(count=len(some), languages=dict(languages), complexity=dict(levels))
    picked = quotas.pick(wanted, rows)
    assert len({r.line for r in picked}) == len(some)
    assert Counter(r.language for r in picked) == languages
    assert Counter(r.complexity for r in picked) == levels


@pytest.mark.parametrize("held", [0, 1, 5])
def test_too_few_rows_are_no_reason_to_search_on(held: int) -> None:
    rows = [row(number, language="tr") for number in range(held)]
    assert len(quotas.pick(category(count=9, languages={"tr": 9}), rows)) == held
    assert quotas.pick(category(count=9, languages={"en": 9}), rows) == ()


def test_many_rows_that_stand_in_the_way_give_way_together() -> None:
    """The first thousands alone would meet no more than half of the needs."""
    kinds = [("tr", "low"), ("en", "low"), ("tr", "high"), ("en", "high")]
    held = [40_000, 30_000, 30_000, 5_000]
    rows = [
        row(number, language=language, complexity=level)
        for (language, level), number_of_rows in zip(kinds, held, strict=True)
        for number in range(number_of_rows)
    ]
    half = {"tr": 40_000, "en": 30_000}, {"low": 40_000, "high": 30_000}
    wanted = category(count=70_000, languages=half[0], complexity=half[1])
    picked = quotas.pick(wanted, rows)
    assert Counter(r.language for r in picked) == half[0]
    assert Counter(r.complexity for r in picked) == half[1]


def labelled_rows(chance: Random, number: int) -> list[Row]:
    return [
        row(
            line,
            chance.choice("abcd"),
            chance.choices(["tr", "en", "mixed"], [5, 3, 2])[0],
            chance.choices(["low", "medium", "high"], [1, 7, 2])[0],
        )
        for line in range(number)
    ]


SHARES = {
    "languages": {"tr": 0.5, "en": 0.3, "mixed": 0.2},
    "complexity": {"low": 0.1, "medium": 0.7, "high": 0.2},
}


def test_the_order_in_which_names_are_written_does_not_matter() -> None:
    rows = labelled_rows(Random(1), 300) + [row(400 + number) for number in range(50)]
    turned = {field: dict(reversed(shares.items())) for field, shares in SHARES.items()}
    one = category(count=200, topics=("a", "b", "c", "d"), **SHARES)
    other = category(count=200, topics=("d", "c", "b", "a"), **turned)
    assert quotas.pick(one, rows) == quotas.pick(other, rows)


@pytest.mark.parametrize("field", ["topics", "languages", "complexity"])
def test_more_of_one_kind_of_quota_keeps_every_row_picked_before(field: str) -> None:
    rows = labelled_rows(Random(2), 400)
    fields = {"topics": ("a", "b", "c", "d"), **SHARES}
    before, after = (
        {r.line for r in quotas.pick(category(count=count, **{field: fields[field]}), rows)}
        for count in (100, 110)
    )
    assert (len(before), len(after)) == (100, 110)
    assert before < after


def test_more_of_several_quotas_together_keeps_nearly_every_row_picked_before() -> None:
    """What was picked early may now leave no room for another: 2 of 100 rows on average."""
    lost = []
    for seed in range(60):
        rows = labelled_rows(Random(seed), 300)
        before, after = (
            {r.line for r in quotas.pick(category(count=n, topics=tuple("abcd"), **SHARES), rows)}
            for n in (100, 110)
        )
        lost.append(len(before - after))
    assert sum(lost) / len(lost) < 3

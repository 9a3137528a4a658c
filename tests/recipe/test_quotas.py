"""Quotas add up to the last row, and the rows that fill them are found where they exist."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessy_build.example import Message
from jessy_build.recipe import quotas
from jessy_build.recipe.model import Category
from jessy_build.teachers.curated import Row


def category(**fields: Any) -> Category:
    return Category.model_validate({"teacher": "t", "count": 10, **fields})


def row(line: int, topic: str = "", language: str = "", complexity: str = "") -> Row:
    said = (Message("user", str(line)), Message("assistant", "x"))
    return Row(said, "f", line, "c", topic, language, complexity)


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (None, {"cat": 10}),
        (("a", "b", "c"), {"a": 4, "b": 3, "c": 3}),
        ({"a": 7, "b": 3}, {"a": 7, "b": 3}),
        (({"name": "a", "count": 5}, "b", "c"), {"a": 5, "b": 3, "c": 2}),
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
        ({"tr": 1 / 3, "en": 1 / 3, "mixed": 1 / 3}, {"tr": 4, "en": 3, "mixed": 3}),
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
def test_a_full_choice_meets_every_need_exactly(
    labels: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    rows = [row(number, *said) for number, said in enumerate(labels)]
    # The needs are those of some rows that exist, so that a choice exists too.
    some = data.draw(st.lists(st.sampled_from(labels), min_size=1, max_size=len(labels)))
    count = len(some)
    languages = {name: sum(s[1] == name for s in some) for name in ("tr", "en")}
    levels = {name: sum(s[2] == name for s in some) for name in ("low", "high")}
    wanted = category(
        count=count,
        languages={name: rows for name, rows in languages.items() if rows},
        complexity={name: rows for name, rows in levels.items() if rows},
    )
    picked = quotas.pick(wanted, rows)
    assert len({r.line for r in picked}) == len(picked) <= count
    if len(picked) == count:
        for label, need in quotas.needs(wanted).items():
            found = [getattr(r, label) for r in picked]
            assert {name: found.count(name) for name in need} == need

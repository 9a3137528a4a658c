"""Quotas are met to the last row, and a change of them moves no more rows than it must."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import lcm
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessy_build.apportion import apportion, shares
from jessy_build.plan.slots import Cell, Slot, cells

Weights = dict[str, float]

TOPICS = [f"topic {letter}" for letter in "abcdefghijklmnop"]
LANGUAGES = ["tr", "en", "mixed"]
LEVELS = ["low", "medium", "high", "deep"]

weights_of_names = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.floats(0.01, 100), min_size=1, max_size=8
)


def split(names: list[str]) -> st.SearchStrategy[Weights]:
    """Shares such as people write: whole parts of 2 to 20."""
    parts = st.lists(st.integers(1, 9), min_size=1, max_size=len(names))
    return parts.map(lambda found: dict(zip(names, found, strict=False))).filter(
        lambda found: sum(found.values()) <= 20
    )


def block(languages: Weights, levels: Weights) -> int:
    """The rows of which every share of either is whole."""
    exact = [*shares(languages).values(), *shares(levels).values()]
    return lcm(*(share.denominator for share in exact))


def dealt(rows: Mapping[str, int], languages: Weights, levels: Weights) -> dict[Cell, int]:
    return cells(sum(rows.values()), rows, languages, levels)


def of_topics(table: Mapping[Cell, int], topics: Mapping[str, int]) -> dict[Cell, int]:
    return {cell: rows for cell, rows in table.items() if cell[0] in topics}


def lowered(before: Mapping[Cell, int], after: Mapping[Cell, int]) -> int:
    return sum(max(0, rows - after.get(cell, 0)) for cell, rows in before.items())


def shuffled(weights: Weights, random: Random) -> Weights:
    names = list(weights)
    random.shuffle(names)
    return {name: weights[name] for name in names}


@given(st.integers(1, 400), weights_of_names, weights_of_names, weights_of_names)
def test_every_margin_of_the_table_is_exact(
    count: int, topics: Weights, languages: Weights, levels: Weights
) -> None:
    table = cells(count, topics, languages, levels)
    for place, weights in enumerate((topics, languages, levels)):
        margin: Counter[str] = Counter()
        for cell, rows in table.items():
            margin[cell[place]] += rows
        wanted = {name: rows for name, rows in apportion(count, weights).items() if rows}
        assert dict(margin) == wanted


def test_a_table_of_a_recipe() -> None:
    """Written out, since a change of it asks teachers anew: every item is named by its cell."""
    topics = {"rust": 7, "performance": 5, "debugging": 8}
    table = cells(20, topics, {"en": 0.5, "tr": 0.3, "mixed": 0.2}, {"low": 0.35, "high": 0.65})
    assert list(table.items()) == TABLE


TABLE = [
    (("debugging", "en", "high"), 3),
    (("debugging", "en", "low"), 1),
    (("debugging", "mixed", "high"), 1),
    (("debugging", "mixed", "low"), 1),
    (("debugging", "tr", "high"), 1),
    (("debugging", "tr", "low"), 1),
    (("performance", "en", "high"), 2),
    (("performance", "mixed", "low"), 1),
    (("performance", "tr", "high"), 1),
    (("performance", "tr", "low"), 1),
    (("rust", "en", "high"), 3),
    (("rust", "en", "low"), 1),
    (("rust", "mixed", "high"), 1),
    (("rust", "tr", "high"), 1),
    (("rust", "tr", "low"), 1),
]


def test_the_table_stands_in_alphabetical_order_without_empty_cells() -> None:
    table = cells(3, {"b": 2, "a": 1}, {"tr": 1}, {"low": 1, "high": 1})
    assert list(table) == sorted(table)
    assert all(table.values())


@given(st.integers(1, 200), weights_of_names, weights_of_names, weights_of_names, st.randoms())
def test_the_order_in_which_anything_is_written_does_not_matter(
    count: int, topics: Weights, languages: Weights, levels: Weights, random: Random
) -> None:
    other = (shuffled(weights, random) for weights in (topics, languages, levels))
    assert list(cells(count, *other).items()) == list(
        cells(count, topics, languages, levels).items()
    )


counts_of_blocks = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 30), min_size=1)


@given(counts_of_blocks, counts_of_blocks, split(LANGUAGES), split(LEVELS))
def test_with_whole_quotas_a_topic_knows_nothing_of_the_others(
    some: dict[str, int], others: dict[str, int], languages: Weights, levels: Weights
) -> None:
    each = block(languages, levels)
    alone = {topic: blocks * each for topic, blocks in some.items()}
    together = {topic: blocks * each for topic, blocks in others.items()} | alone
    assert of_topics(dealt(together, languages, levels), alone) == dealt(alone, languages, levels)


@given(counts_of_blocks, counts_of_blocks, split(LANGUAGES), split(LEVELS))
def test_with_whole_quotas_more_rows_take_none_back(
    some: dict[str, int], more: dict[str, int], languages: Weights, levels: Weights
) -> None:
    each = block(languages, levels)
    before = {topic: blocks * each for topic, blocks in some.items()}
    after = {topic: (some.get(topic, 0) + more.get(topic, 0)) * each for topic in some | more}
    assert lowered(dealt(before, languages, levels), dealt(after, languages, levels)) == 0


def test_shares_whose_blocks_are_hard_to_line_up_still_take_no_row_back() -> None:
    """Taking for each block what is nearest would owe a cell less than nothing in the end."""
    languages = {"a": 3, "b": 1, "c": 1, "d": 1}
    levels = {"p": 1, "q": 1, "r": 3, "s": 1}
    tables = [dealt({"one": 6 * blocks}, languages, levels) for blocks in range(1, 20)]
    for before, after in itertools.pairwise(tables):
        assert lowered(before, after) == 0


# What is not proved for every recipe is tried with the same ones each time.
@settings(derandomize=True, max_examples=300)
@given(
    counts_of_blocks,
    st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 40)),
    split(LANGUAGES),
    split(LEVELS),
)
def test_a_topic_with_whole_quotas_stays_as_it_is_beside_broken_ones(
    whole: dict[str, int], broken: dict[str, int], languages: Weights, levels: Weights
) -> None:
    alone = {topic: blocks * block(languages, levels) for topic, blocks in whole.items()}
    together = dealt(broken | alone, languages, levels)
    assert of_topics(together, alone) == dealt(alone, languages, levels)


def distances(rows: Mapping[str, int], languages: Weights, levels: Weights) -> Iterator[Fraction]:
    table = dealt(rows, languages, levels)
    for topic, count in rows.items():
        for language, spoken in shares(languages).items():
            for level, share in shares(levels).items():
                yield abs(count * spoken * share - table.get((topic, language, level), 0))


@settings(derandomize=True, max_examples=300)
@given(
    st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 70), min_size=1),
    split(LANGUAGES),
    split(LEVELS),
)
def test_no_cell_is_two_rows_from_its_exact_quota(
    rows: dict[str, int], languages: Weights, levels: Weights
) -> None:
    assert max(distances(rows, languages, levels)) < 2


@pytest.mark.parametrize(
    ("rows", "languages", "levels"),
    [
        ({"b": 23, "f": 6}, {"tr": 2, "en": 2, "mixed": 1}, {"low": 3, "medium": 2}),
        ({"b": 15, "g": 14, "c": 20}, {"tr": 3, "en": 1}, {"low": 6, "medium": 1, "high": 1}),
    ],
)
def test_a_lopsided_run_of_blocks_gives_way_to_the_quotas(
    rows: dict[str, int], languages: Weights, levels: Weights
) -> None:
    assert max(distances(rows, languages, levels)) < 2


def test_topics_languages_and_levels_are_crossed_evenly() -> None:
    """Fifty topics of ten rows: one row in a hundred is of the rare language and level."""
    rows = {f"topic {number}": 10 for number in range(50)}
    table = dealt(rows, {"tr": 0.9, "mixed": 0.1}, {"low": 0.9, "medium": 0.1})
    crossed: Counter[tuple[str, str]] = Counter()
    for (_, language, level), held in table.items():
        crossed[language, level] += held
    assert 2 <= crossed["mixed", "medium"] <= 9
    assert len([1 for cell in table if cell[1:] == ("mixed", "medium")]) >= 2


def test_topics_of_one_row_are_of_every_kind() -> None:
    table = dealt({f"topic {n}": 1 for n in range(60)}, {"tr": 1, "en": 1}, {"low": 1, "high": 1})
    crossed = Counter(cell[1:] for cell in table)
    assert len(crossed) == 4
    assert min(crossed.values()) >= 8


def small_recipes(number: int) -> Iterator[tuple[dict[str, int], dict[str, int], Weights, Weights]]:
    """The rows of each topic before and after a change, with shares of tenths, thirds and so on."""
    chance = Random(2026)
    for _ in range(number):
        names = chance.sample(TOPICS, chance.randint(1, 6))
        languages = parts(chance, LANGUAGES)
        levels = parts(chance, LEVELS[:3])
        rows = {name: chance.randint(1, 15) for name in names}
        after = dict(rows)
        match chance.randrange(4):
            case 0:
                rows, after = even(names, 20), even(names, 30)
            case 1:
                after[chance.choice(names)] += chance.randint(1, 10)
            case 2:
                after["new"] = chance.randint(1, 15)
            case 3:
                after = {name: count + chance.randint(0, count) for name, count in rows.items()}
        yield rows, after, languages, levels


def parts(chance: Random, names: list[str]) -> Weights:
    number = chance.randint(1, len(names))
    whole = chance.choice([3, 4, 10, 10, 20, 100])
    cuts = [0, *sorted(chance.sample(range(1, whole), number - 1)), whole]
    widths = (after - before for before, after in itertools.pairwise(cuts))
    return dict(zip(names, widths, strict=False))


def even(names: list[str], count: int) -> dict[str, int]:
    return apportion(count, dict.fromkeys(names, 1))


def test_with_broken_quotas_a_change_asks_for_little_more_than_the_difference() -> None:
    """Measured: 0.41 rows on average (dealing in turn, as it was before: 1.6), 0 in 360 of 500."""
    beyond = [
        lowered(dealt(rows, languages, levels), dealt(after, languages, levels))
        for rows, after, languages, levels in small_recipes(500)
    ]
    assert sum(beyond) / len(beyond) < 0.45
    assert beyond.count(0) > 350
    assert max(beyond) <= 5


def test_the_count_may_be_as_great_as_one_likes() -> None:
    """Cells are counted, not rows: this would not end otherwise."""
    topics = {"a": 10**15 + 1, "b": 3}
    table = cells(10**15 + 4, topics, {"tr": 0.7, "en": 0.3}, {"low": 1, "high": 2})
    assert sum(table.values()) == 10**15 + 4


def test_a_slot_is_named_without_its_neighbours() -> None:
    assert Slot("talk", "greetings", "tr", "low", 1).name == "talk/greetings/tr/low/1"

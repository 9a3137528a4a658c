"""What enhancers put into answers: never twice, never into code, whatever else is there."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build import enhancers
from jessy_build.example import Example, Message, Origin, example_id

PHRASE = {"kind": "phrase", "phrases": ["Süper!"]}
EMOJI = {"kind": "emoji", "emoji": ["🎯"]}
METAPHOR = {"kind": "metaphor", "metaphors": ["Kod bir nehirdir."]}


def row(*answers: str, asks: str = "naber", **labels: str) -> Example:
    messages = tuple(
        message
        for n, answer in enumerate(answers)
        for message in (Message("user", f"{asks} {n}"), Message("assistant", answer))
    )
    said = {"category": "talk", "topic": "rust", "language": "tr", "complexity": "low", **labels}
    id = example_id(said["category"], messages)
    return Example(id, **said, messages=messages, origin=Origin("curated", "rows.jsonl:1"))


def enhanced(example: Example, *blocks: Mapping[str, Any], **limits: int) -> enhancers.Enhanced:
    return enhancers.enhance(example, enhancers.read(blocks), 42, limits)


def answers(example: Example) -> list[str]:
    return [m.content for m in example.messages if m.role == "assistant"]


def of(answer: str, *blocks: Mapping[str, Any]) -> str:
    return answers(enhanced(row(answer), *blocks).example)[0]


@pytest.mark.parametrize(
    ("block", "answer", "after"),
    [
        (PHRASE, "Oldu.", "Süper! Oldu."),
        ({**PHRASE, "where": "end"}, "Oldu.\n", "Oldu. Süper!"),
        (EMOJI, "Oldu.", "Oldu. 🎯"),
        ({**EMOJI, "where": "both"}, "Oldu.", "🎯 Oldu. 🎯"),
        (METAPHOR, "Oldu.", "Oldu.\n\nKod bir nehirdir."),
        ({**METAPHOR, "where": "start"}, "Oldu.", "Kod bir nehirdir.\n\nOldu."),
    ],
)
def test_each_kind_has_its_place(block: Mapping[str, Any], answer: str, after: str) -> None:
    assert of(answer, block) == after


CODE = "```py\nx = 1\n```"


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        # A fence, a list or a table goes on meaning what it meant.
        (CODE, f"🎯\n\n{CODE}\n\n🎯"),
        (f"Bak:\n{CODE}", f"🎯 Bak:\n{CODE}\n\n🎯"),
        ("- bir\n- iki", "🎯\n\n- bir\n- iki\n\n🎯"),
        ("# Başlık\n\nSon.", "🎯\n\n# Başlık\n\nSon. 🎯"),
        ("Başlık\n===\nSon.", "🎯\n\nBaşlık\n===\nSon. 🎯"),
        ("a | b\n--|--\n1 | 2", "🎯\n\na | b\n--|--\n1 | 2\n\n🎯"),
        ("    x = 1", "🎯\n\n    x = 1\n\n🎯"),
        ("`x` olur", "🎯 `x` olur 🎯"),
        # Code that never ends has nothing behind it.
        ("Bak:\n```py\nx = 1", "Bak:\n```py\nx = 1"),
        ("~~~\n```", "~~~\n```"),
        ("````\n```\n````", "🎯\n\n````\n```\n````\n\n🎯"),
    ],
)
def test_nothing_is_put_into_code_or_amid_a_block(answer: str, after: str) -> None:
    assert of(answer, {**EMOJI, "where": "both"}) == after


@pytest.mark.parametrize(
    ("block", "answer"),
    [
        (PHRASE, "Bence süper!"),
        ({**PHRASE, "phrases": ["Hadi!", "Süper!"]}, "Süper! Oldu."),
        ({**EMOJI, "emoji": ["❤️"]}, "❤ oldu"),
        (METAPHOR, "Kod bir nehirdir. Akar."),
    ],
)
def test_an_answer_that_has_it_is_left(block: Mapping[str, Any], answer: str) -> None:
    assert of(answer, block) == answer


def test_a_word_inside_another_is_not_the_phrase() -> None:
    assert of("Okul kapalı.", {"kind": "phrase", "phrases": ["Ok"]}) == "Ok Okul kapalı."


@pytest.mark.parametrize(
    ("limit", "other"),
    [("language", "en"), ("category", "code"), ("complexity", "high"), ("topic", "git")],
)
def test_a_limit_leaves_other_rows_alone(limit: str, other: str) -> None:
    block = {**PHRASE, limit: getattr(row("Oldu."), limit)}
    assert enhanced(row("Oldu."), block).added
    assert not enhanced(row("Oldu.", **{limit: other}), block).added


def test_each_answer_of_a_conversation_gets_its_own_and_the_row_says_which() -> None:
    both = enhanced(row("Bir.", "Süper! İki.", "Üç."), PHRASE)
    assert answers(both.example) == ["Süper! Bir.", "Süper! İki.", "Süper! Üç."]
    assert [(one.kind, one.where, one.turn, one.text) for one in both.added] == [
        ("phrase", "start", 1, "Süper!"),
        ("phrase", "start", 5, "Süper!"),
    ]
    assert [m for m in both.example.messages if m.role == "user"] == [
        Message("user", f"naber {n}") for n in range(3)
    ]


def test_no_answer_becomes_longer_than_its_level_allows() -> None:
    short, full = row("bir iki"), row("bir iki üç")
    assert answers(enhanced(short, PHRASE, low=3).example) == ["Süper! bir iki"]
    left = enhanced(full, PHRASE, low=3)
    assert (left.example, left.added, left.no_room) == (full, (), 1)
    assert enhanced(full, PHRASE, high=3).added, "another level's limit"


MANY = [row("Oldu.", asks=f"soru {n}") for n in range(400)]


def drawn(**block: Any) -> list[str]:
    return [answers(enhanced(one, {**PHRASE, **block}).example)[0] for one in MANY]


def test_a_chance_is_met_on_average_and_a_higher_one_keeps_what_a_lower_one_drew() -> None:
    low, high = drawn(chance=0.3), drawn(chance=0.5)
    assert 90 < sum(text != "Oldu." for text in low) < 150
    assert all(more == less for less, more in zip(low, high, strict=True) if less != "Oldu.")
    assert set(drawn(chance=0)) == {"Oldu."} and "Oldu." not in drawn(chance=1)


def test_a_phrase_more_takes_only_the_answers_that_it_wins() -> None:
    few, more = drawn(phrases=["A!", "B!", "C!"]), drawn(phrases=["D!", "C!", "B!", "A!"])
    moved = [b for a, b in zip(few, more, strict=True) if a != b]
    assert set(moved) == {"D! Oldu."} and 60 < len(moved) < 140


def test_another_enhancer_changes_no_draw_of_the_others() -> None:
    half = {**PHRASE, "chance": 0.5}
    for one in MANY[:100]:
        alone = set(enhanced(one, half).added)
        assert alone == {a for a in enhanced(one, EMOJI, half).added if a.kind == "phrase"}


def test_two_alike_draw_apart() -> None:
    """Two blocks with the same limits and chances would else fall on the very same answers."""
    twice = [enhanced(one, {**PHRASE, "chance": 0.5}, {**EMOJI, "where": "start", "chance": 0.5})
             for one in MANY]  # fmt: skip
    assert {tuple(a.kind for a in one.added) for one in twice} == {
        (),
        ("phrase",),
        ("emoji",),
        ("phrase", "emoji"),
    }


# Whatever is written

WORDS = st.text(st.sampled_from("aİışç .!?`~|#-*>\n🎯❤\ufe0f❤1"), max_size=40)
TEXTS = st.lists(
    st.sampled_from(["Süper!", "a", "İyi", "…", "❤️", "🎯", "- x", "a ! b", "ış ç"]),
    min_size=1,
    max_size=3,
)
SHARE = st.sampled_from([0.0, 0.5, 1.0])
BLOCK = st.one_of(
    st.builds(
        lambda kind, texts, where, chance: {
            "kind": kind,
            f"{kind}s": texts,
            "where": where,
            "chance": chance,
        },
        st.sampled_from(["phrase", "metaphor"]),
        TEXTS,
        st.sampled_from(["start", "end"]),
        SHARE,
    ),
    st.builds(
        lambda emoji, where, chance: {
            "kind": "emoji",
            "emoji": emoji,
            "where": where,
            "chance": chance,
        },
        st.lists(st.sampled_from(["🎯", "❤️", "❤", "✨", ":-)"]), min_size=1, max_size=3),
        st.sampled_from(["start", "end", "both"]),
        SHARE,
    ),
)
SEVERAL = st.lists(BLOCK, min_size=1, max_size=4)


@given(st.lists(WORDS, min_size=1, max_size=3), SEVERAL, st.integers(0, 30))
def test_done_twice_is_done_once(
    said: Sequence[str], blocks: Sequence[Mapping[str, Any]], most: int
) -> None:
    once = enhanced(row(*said), *blocks, low=most)
    twice = enhanced(once.example, *blocks, low=most)
    assert twice.example == once.example and not twice.added


@given(WORDS, SEVERAL)
def test_what_was_answered_stands_there_whole(
    said: str, blocks: Sequence[Mapping[str, Any]]
) -> None:
    one = enhanced(row(said), *blocks)
    assert said.strip() in answers(one.example)[0]
    assert all(added.text in answers(one.example)[0] for added in one.added)


@given(WORDS, SEVERAL, st.integers(0, 12))
def test_limits_of_length_hold_whatever_is_put_in(
    said: str, blocks: Sequence[Mapping[str, Any]], most: int
) -> None:
    one = enhanced(row(said), *blocks, low=most)
    assert not one.added or len(answers(one.example)[0].split()) <= most

import pytest

from jessy_build.speech import phrases
from jessy_build.validators import Limits, forbid, persona
from jessy_build.validators.finding import Manner
from tests.validators.rows import talk

SAID = [
    # phrase, answer, what is found
    (
        "as an AI language model",
        "Well, As An ai Language Model, I cannot.",
        "As An ai Language Model",
    ),
    ("as an ai", "AS AN AI I do not eat", "AS AN AI"),
    ("ışık", "IŞIK nedir", "IŞIK"),
    ("istanbul", "İSTANBUL güzel", "İSTANBUL"),
    ("İyi günler", "iyi   günler\nefendim", "iyi günler"),
    ("model*", "Ben bir dil modeliyim.", "modeliyim"),
    ("dil model*", "bir DİL MODELİ gibi", "DİL MODELİ"),
    ("ChatGPT", "ben ChatGPT'yim", "ChatGPT"),
    ("I'm sorry", "I’m sorry, no", "I'm sorry"),
    ("—", "evet—hayır", "—"),
    ("🎯", "tamam🎯", "🎯"),
    ("c++ (or c)", "use C++ (or C) here", "C++ (or C)"),
]
NOT_SAID = [
    ("sik", "sık sık gelirim, sıkıldım"),
    ("model", "modelim yok, supermodel"),
    ("as an AI", "as an airplane"),
    ("a.c", "abc"),
    ("iyi günler", "iyi ki günler var"),
]


@pytest.mark.parametrize(("phrase", "answer", "found"), SAID)
def test_a_phrase_is_found_in_any_case_at_word_edges(phrase: str, answer: str, found: str) -> None:
    assert phrases.said([phrase], answer) == found


@pytest.mark.parametrize(("phrase", "answer"), NOT_SAID)
def test_other_words_are_not_the_phrase(phrase: str, answer: str) -> None:
    assert phrases.said([phrase], answer) == ""


def test_of_several_the_first_one_in_the_answer_is_told() -> None:
    assert phrases.said(["two", "one"], "One or two") == "One"


def test_only_answers_are_forbidden_to_say_something() -> None:
    rows = [
        talk("u: are you a robot", "a: no, kanka", where="r:1"),
        talk("u: naber", "a: iyi", "u: who are you", "a: a Robot, of course", where="r:2"),
    ]
    found = [(f.where, f.message) for f in forbid.check(rows, Limits(forbid=("robot",)))]
    assert found == [("r:2", "an answer says 'Robot', which is forbidden")]


ROWS = [
    talk("u: kimsin", "a: Ben JESSY.", "u: hm", "a: evet", category="identity", where="r:1"),
    talk("u: kim", "a: Söylemem.", category="identity", where="r:2"),
    talk("u: who", "a: I am Ada.", category="identity", language="en", where="r:3"),
    talk("u: selam", "a: Merhaba efendim.", complexity="high", where="r:4"),
    talk("u: slm", "a: selam efendim", where="r:5"),
]


def rejected(**said: Manner) -> list[tuple[str, str]]:
    return [(f.where, f.message) for f in persona.check(ROWS, Limits(persona=said))]


def test_a_row_says_one_of_what_is_required_of_its_category() -> None:
    named = Manner(categories=("identity",), require=("JESSY", "Ada"))
    assert rejected(named=named) == [("r:2", "no answer says 'JESSY' or 'Ada' (persona.named)")]


@pytest.mark.parametrize(
    ("kinds", "where"),
    [
        ({}, ["r:4", "r:5"]),
        ({"complexity": ("high",)}, ["r:4"]),
        ({"languages": ("en",)}, []),
        ({"languages": ("tr",), "complexity": ("low",)}, ["r:5"]),
        ({"categories": ("identity",)}, []),
    ],
)
def test_what_is_forbidden_to_some_rows_others_may_say(
    kinds: dict[str, tuple[str, ...]], where: list[str]
) -> None:
    found = rejected(warm=Manner(**kinds, forbid=("efendim",)))
    assert [row for row, _ in found] == where
    assert all(
        said == "an answer says 'efendim', which is forbidden here (persona.warm)"
        for _, said in found
    )

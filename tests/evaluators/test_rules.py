"""Each rule of a suite, on answers as models give them."""

import pytest

from jessy_build.evaluators import rules, scoring
from jessy_build.evaluators.config import Expect
from jessy_build.evaluators.rules import Said
from jessy_build.evaluators.scoring import Missed, Score

HELD = [
    # rule, what is wanted, an answer
    ("words", {"min": 1, "max": 3}, "Sor kanka, dinliyorum."),
    ("words", {"min": 2, "max": None}, "iki kelime"),
    ("words", {"min": 0, "max": 4}, ""),
    ("language", "tr", "Sor kanka, dinliyorum."),
    ("language", "en", "Sure, go ahead, I am all ears."),
    ("language", "tr", "ok"),
    ("language", "en", "🚀"),
    ("language", "tr", "Deploy'u yarın sabah yaparız, merak etme."),
    ("language", "mixed", "Sure, go ahead."),
    ("contains", ["berlin*"], "Almanya'nın başkenti BERLİN'dir."),
    ("contains", ["Ankara", "başkent*"], "başkenti ankara"),
    ("any_of", ["12", "on iki"], "On iki tane eder."),
    ("any_of", ["ışık"], "IŞIK"),
    ("lacks", ["as an AI"], "I have an aim."),
    ("equals", ["Sor kanka, dinliyorum."], "sor kanka dinliyorum 😊"),
    ("equals", ["IŞIK", "x"], "ışık!"),
    ("equals", ["İstanbul"], "istanbul"),
    ("ends", True, "x"),
]
NOT_HELD = [
    ("words", {"min": 1, "max": 2}, "Sor kanka, dinliyorum.", "3 words, not 1 to 2"),
    ("words", {"min": 2, "max": None}, "bir", "1 word, not at least 2"),
    ("words", {"min": 1, "max": None}, "", "0 words, not at least 1"),
    (
        *("language", "tr", "I am a language model and I can help you with that."),
        "not Turkish: 12 words are English, 0 Turkish",
    ),
    (
        *("language", "en", "Tabii, nasıl yardımcı olabilirim?"),
        "not English: 4 words are Turkish, 0 English",
    ),
    ("contains", ["Ankara", "başkent"], "Ankara'dır", "does not say 'başkent'"),
    ("contains", ["a", "b", "c"], "x", "does not say 'a', 'b' or 'c'"),
    ("any_of", ["12", "on iki"], "On üç.", "says none of '12' or 'on iki'"),
    ("lacks", ["yapay zeka*"], "Ben bir YAPAY ZEKAYIM.", "says 'YAPAY ZEKAYIM'"),
    ("equals", ["sık"], "sik", "is not 'sık'"),
    ("equals", ["Sor"], "Sor kanka", "is not 'Sor'"),
    ("ends", False, "x", "comes to an end"),
]


@pytest.mark.parametrize(("rule", "wanted", "text"), HELD)
def test_what_holds_is_not_held_against_an_answer(rule: str, wanted: object, text: str) -> None:
    assert rules.RULES[rule](Said(text, True), wanted) == ""


@pytest.mark.parametrize(("rule", "wanted", "text", "problem"), NOT_HELD)
def test_what_does_not_hold_is_told(rule: str, wanted: object, text: str, problem: str) -> None:
    assert rules.RULES[rule](Said(text, True), wanted) == problem


def test_an_answer_that_was_cut_off_has_no_end() -> None:
    assert rules.ends(Said("x", False), True) == "comes to no end"
    assert rules.ends(Said("x", False), False) == ""


def test_each_field_of_an_expectation_is_a_rule() -> None:
    assert set(Expect.model_fields) == set(rules.RULES)


def test_a_score_is_the_share_of_what_holds_and_each_prompt_counts_alike() -> None:
    short = {"words": {"min": 1, "max": 2}, "ends": True, "contains": ["sor"], "language": "tr"}
    one = scoring.answer(Said("Sor kanka, dinliyorum.", True), short)
    assert one.score == 0.75 and one.missed == (Missed("words", "3 words, not 1 to 2"),)
    other = scoring.answer(Said("x", True), {"ends": True})
    assert scoring.suite([one, other]) == Score(0.875, 1, 2)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.validators import Limits, duplicates
from jessy_build.validators.duplicates import normal
from tests.validators.rows import talk

SAME = [
    # language, two texts that ask the same
    ("tr", "Naber?", "naber"),
    ("tr", "naber ?", "  NABER\n!!!"),
    ("tr", "IŞIK açık mı?", "ışık açık mı"),
    ("tr", "İyi misin", "iyi misin"),
    ("tr", "“Selam”, dedi.", "selam dedi"),
    ("tr", "'naber'.", "naber"),
    ("tr", "JESSY'nin adı ne?", "jessy'nin adı ne"),
    ("tr", "ç", "c\u0327"),
    ("en", "I am HERE", "i am here"),
    ("en", "What's up?", "what's up"),
    ("mixed", "Meeting İPTAL mi", "meeting iptal mi"),
    ("en", "Straße", "STRASSE"),
    ("tr", "?!", " ?! "),
]

OTHER = [
    ("tr", "nasılsın", "nasilsin"),
    ("tr", "kır nedir", "kir nedir"),
    ("tr", "12*3 kaç", "12/3 kaç"),
    ("tr", "12 * 3 kaç", "12 / 3 kaç"),
    ("tr", "-5 nedir", "5 nedir"),
    ("tr", "3.5 nedir", "35 nedir"),
    ("tr", ".net nedir", "net nedir"),
    ("tr", "[] nedir", "{} nedir"),
    ("tr", "bir şey", "birşey"),
    ("tr", "naber 😀", "naber 😢"),
    ("tr", "?", "!"),
    ("en", "C# or C", "C or C"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "one", "other"), SAME)
def test_the_same_question_written_otherwise_is_found(language: str, one: str, other: str) -> None:
    rows = [
        talk(f"u: {text}", "a: tamam", language=language, where=f"r:{n}")
        for n, text in enumerate((one, other))
    ]
    (finding,) = duplicates.check(rows, Limits())
    assert (finding.where, finding.rule) == ("r:1", "duplicates")
    assert finding.message == "asks the same as r:0 and answers the same"


@pytest.mark.parametrize(("language", "one", "other"), OTHER)
def test_another_question_is_left_alone(language: str, one: str, other: str) -> None:
    rows = [talk(f"u: {text}", "a: tamam", language=language) for text in (one, other)]
    assert list(duplicates.check(rows, Limits())) == []


def test_an_answer_that_contradicts_is_shown_beside_the_first() -> None:
    rows = [
        talk("u: naber", "a: İyi.", where="a.jsonl:3"),
        talk("u: Naber?", "a: kötü", where="b.jsonl:8", category="other"),
    ]
    (finding,) = duplicates.check(rows, Limits())
    assert finding.message == (
        "asks the same as a.jsonl:3 and answers differently: 'kötü' here, 'İyi.' there"
    )


def test_an_answer_that_differs_in_its_full_stop_alone_contradicts_nothing() -> None:
    rows = [talk("u: naber", "a: İyi.", where="r:1"), talk("u: naber", "a: iyi", where="r:2")]
    (finding,) = duplicates.check(rows, Limits())
    assert finding.message.endswith("answers the same")


def test_the_first_of_three_stays() -> None:
    rows = [talk("u: naber", "a: iyi", where=f"r:{n}") for n in range(3)]
    assert [finding.where for finding in duplicates.check(rows, Limits())] == ["r:1", "r:2"]


def test_conversations_that_only_begin_alike_are_two() -> None:
    rows = [
        talk("u: selam", "a: selam!", "u: naber", "a: iyi"),
        talk("u: selam", "a: selam!", "u: ne yapıyorsun", "a: çalışıyorum"),
        talk("u: selam", "a: selam!"),
    ]
    assert list(duplicates.check(rows, Limits())) == []


@given(st.text(), st.sampled_from(["tr", "en", "mixed", ""]))
def test_a_normal_form_is_its_own(text: str, language: str) -> None:
    once = normal(text, language)
    assert once == " ".join(once.split())
    assert normal(f"  {text}\t", language) == once

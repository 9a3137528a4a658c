import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.example import Example
from jessy_build.steps import assemble
from jessy_build.validators import Limits, check, minhash, near_duplicates
from tests.validators.rows import talk

NEAR = [
    # language, two questions that are alike by 0.85
    ("tr", "vektörün sonuna nasıl eleman eklerim", "Vektörün sonuna nasıl elemanı eklerim?"),
    ("tr", "kanka sana çok saçma bi soru sorucam", "kanka sana çok saçma bir soru sorucam"),
    ("tr", "bugün çok yoruldum, ne yapsam bilmiyorum", "Bugün çok yoruldum ne yapsam bilmiyorumm"),
    ("en", "Could you explain how a hash map works?", "could you explain how hash map works"),
    ("en", "can you tell me what a mutex is for", "Can you tell me what mutex is for?"),
    ("mixed", "meeting'i yarına alalım mı, ok mu sence", "meeting yarına alalım mı, ok mu sence"),
]  # fmt: skip

APART = [
    ("tr", "nasılsın", "nasilsin"),
    ("tr", "su kaç derecede kaynar", "Su kaç derecede donar?"),
    ("tr", "naber", "naber kanka"),
    ("tr", "selam", "selamlar"),
    ("tr", "teşekkür ederim", "İyiyim, teşekkür ederim."),
    ("tr", "bir şey sorabilir miyim", "Müsaitsen bir şey sorabilir miyim?"),
    ("en", "What is the capital of Japan?", "what's the capital of italy"),
    ("en", "How are you?", "How old are you?"),
    ("en", "haha", "hahaha"),
    ("en", "Explain what the HTTP status 404 means", "Explain what the HTTP status 403 means"),
    ("tr", "127 ile 48'i çarparsam ne bulurum", "127 ile 49'i çarparsam ne bulurum"),
    ("mixed", "deadline'ı kaçırdım ya", "deadline'ım var ya"),
    ("tr", "", "?"),
]  # fmt: skip


def found(rows: list[Example], *prompts: str, least: float = 0.85) -> list[tuple[str, str]]:
    limits = Limits(near_duplicate=least, prompts=prompts)
    return [(finding.where, finding.message) for finding in near_duplicates.check(rows, limits)]


def asking(*questions: str, language: str = "tr", answer: str = "tamam") -> list[Example]:
    return [
        talk(f"u: {text}", f"a: {answer}", language=language, where=f"r:{n}")
        for n, text in enumerate(questions)
    ]


@pytest.mark.parametrize(("language", "one", "other"), NEAR)
def test_nearly_the_same_question_is_found(language: str, one: str, other: str) -> None:
    ((where, _),) = found(asking(one, other, language=language))
    assert where == "r:1"


@pytest.mark.parametrize(("language", "one", "other"), APART)
def test_a_question_that_only_resembles_another_stays(language: str, one: str, other: str) -> None:
    assert found(asking(one, other, language=language)) == []


def test_a_finding_shows_both_questions_and_how_much_they_are_alike() -> None:
    rows = asking("kanka sana çok saçma bi soru sorucam", "kanka sana çok saçma bir soru sorucam")
    ((_, message),) = found(rows)
    assert message == (
        "asks nearly the same as r:0 (87 % alike): 'kanka sana çok saçma bir soru sorucam' here,"
        " 'kanka sana çok saçma bi soru sorucam' there"
    )


def test_what_is_the_same_to_the_letter_is_left_to_the_other_rule() -> None:
    assert found(asking("sana bi soru sorucam", "Sana bi soru sorucam!")) == []


def test_many_questions_may_get_one_answer() -> None:
    questions = ("sana bi soru sorucam", "müsait misin", "bir şey danışsam olur mu")
    assert found(asking(*questions, answer="Sor kanka, dinliyorum.")) == []


def test_what_resembles_only_a_row_that_falls_stays() -> None:
    # Each has a letter more than the one before: the third is near the second, not the first.
    chain = ["sana bi soru sorucam", "sana bi soru sorucam yaa", "sana bi soru sorucam yaa yaa"]
    assert [where for where, _ in found(asking(*chain), least=0.75)] == ["r:1"]


def test_a_whole_conversation_is_compared() -> None:
    first = "Rust'ta ownership tam olarak ne demek, örnekle anlatır mısın"
    rows = [
        talk(f"u: {first}", "a: tabii", "u: peki ya borrow", "a: o da şu", where="r:0"),
        talk(f"u: {first}", "a: tabii", "u: lifetime neden gerekli ki", "a: çünkü", where="r:1"),
        talk(f"u: {first}?", "a: tabii", "u: peki ya borroow", "a: o da şu", where="r:2"),
    ]
    assert [where for where, _ in found(rows)] == ["r:2"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Kanka Fransa'nın başkenti neresi?", "asks what evaluate.prompts asks: "),
        ("kanka fransanın başkenti neresi", "asks nearly (8"),
        ("IŞIK nedir", "asks what evaluate.prompts asks: 'ışık nedir'"),
    ],
)
def test_no_test_leaks_into_the_rows(asked: str, said: str) -> None:
    prompts = ("ışık nedir", "kanka fransa'nın başkenti neresi", "hey there")
    ((where, message),) = found(asking("naber", asked), *prompts, least=0.8)
    assert where == "r:1" and message.startswith(said)


def test_a_later_turn_that_asks_what_is_tested_leaks_as_well() -> None:
    row = talk("u: selam", "a: selam!", "u: what is the capital of France", "a: Paris.")
    ((_, message),) = found([row], "What is the capital of France?")
    assert message == "asks what evaluate.prompts asks: 'What is the capital of France?'"


def test_what_only_resembles_a_test_is_no_leak() -> None:
    rows = asking("what is the capital of Japan?", "hey", "capital of France", language="en")
    assert found(rows, "what is the capital of France?", "hey there") == []


def test_rows_held_out_resemble_none_that_are_trained_on() -> None:
    words = ["kod", "test", "veri", "döngü", "bellek", "dosya", "hata", "sınıf", "dizi", "kilit"]
    chance = random.Random(1)
    questions = []
    for _ in range(300):
        question = "kanka bu " + " ".join(chance.sample(words, 5)) + " nasıl çalışıyor"
        questions += [question, question + " ya"]
    rows = asking(*questions)
    rules = {"near_duplicate": 0.8, "duplicates": True}
    bad = {finding.where for finding in check(rows, rules, {})}
    kept = [row for row in rows if row.origin.source not in bad]
    assert len(kept) < len(rows) / 1.5

    def leaks(of: list[Example], least: float = 0.8) -> int:
        held_out = assemble.valid_ids(of, seed=42, share=0.2)
        texts = [
            [r.messages[0].content for r in of if (r.id in held_out) == v] for v in (False, True)
        ]
        return sum(minhash.alike(t, v) >= least for t, v in itertools.product(*texts))

    # Of pairs that are just as much alike as asked for, a hundredth may be missed; of others none.
    assert leaks(rows) > 200 and leaks(kept) <= 0.01 * leaks(rows)
    assert leaks(rows, 0.9) > 50 and leaks(kept, 0.9) == 0


@given(st.lists(st.text(st.sampled_from("ab ç1"), max_size=12), max_size=12))
def test_a_pair_is_told_with_its_true_share_and_once(texts: list[str]) -> None:
    pairs = list(minhash.pairs(texts, 0.7))
    assert len({(one, other) for one, other, _ in pairs}) == len(pairs)
    for one, other, share in pairs:
        assert one < other and share == minhash.alike(texts[one], texts[other]) >= 0.7


def test_hardly_a_pair_is_missed() -> None:
    chance = random.Random(3)
    syllables = ("ka", "le", "şi", "yor", "du", "mak", "ne", "bir", "lar", " ", " ")
    texts = []
    for _ in range(400):
        text = "".join(chance.choice(syllables) for _ in range(16))
        at = chance.randrange(len(text))
        texts += [text, text[:at] + text[at + 1 :]]
    pairs = itertools.combinations(range(len(texts)), 2)
    alike = {p for p in pairs if minhash.alike(texts[p[0]], texts[p[1]]) >= 0.8}
    told = {(one, other) for one, other, _ in minhash.pairs(texts, 0.8)}
    assert told <= alike and len(alike) > 300
    assert len(alike - told) <= 0.02 * len(alike)


@given(st.text(st.sampled_from("abç 1"), max_size=30), st.data())
def test_the_quick_look_drops_no_pair_that_is_alike(one: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(one)))
    other = one[:at] + data.draw(st.text(st.sampled_from("abç"), max_size=3)) + one[at + 1 :]
    least = minhash.alike(one, other)
    looks = minhash.Looks(least)
    looks.add(one)
    looks.add(other)
    assert least == 0 or looks.worth([0], 1) == [0]


@pytest.mark.parametrize("frame", ["", "kanka bana tek kelimeyle anlat, "])
def test_near_copies_are_found_among_thousands_in_one_frame(frame: str) -> None:
    # All in a frame share keys, so that only some are looked at for each.
    chance = random.Random(5)
    syllables = ("ka", "le", "şi", "yor", "du", "mak", "ne", "bir", "lar", "çö", "ğu", "tek", " ")
    texts = [frame + "".join(chance.choice(syllables) for _ in range(15)) for _ in range(3000)]
    copies = []
    for text in chance.sample(texts, 500):
        at = len(frame) + chance.randrange(len(text) - len(frame))
        copy = text[:at] + text[at + 1 :]
        if copy not in texts and minhash.alike(text, copy) >= 0.85:
            copies.append(copy)
    assert len(copies) > 300
    later = {copy for _, copy, _ in minhash.pairs([*texts, *copies], 0.85)}
    assert sum(n >= len(texts) for n in later) >= 0.97 * len(copies)

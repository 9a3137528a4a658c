import json
from pathlib import Path

import pytest

from jessy_build.example import Example, Message
from jessy_build.speech import tongue
from jessy_build.validators import Limits, language
from tests.validators.rows import talk

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OTHER = {"tr": "en", "en": "tr"}

SENTENCES = [
    (text.replace("\\n", "\n"), label)
    for line in (HERE / "languages.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for text, _, label in [line.rpartition(" | ")]
]


def found(*turns: str, language_: str) -> list[str]:
    row = talk(*turns, language=language_)
    return [finding.message for finding in language.check([row], Limits())]


def answered(text: str, asked: str) -> list[str]:
    return found("u: ?", f"a: {text}", language_=asked)


def of(label: str) -> list[str]:
    return [text for text, said in SENTENCES if said == label]


def test_there_are_sentences_of_each_kind() -> None:
    assert len(SENTENCES) >= 150
    assert min(len(of("tr")), len(of("en"))) >= 50 and len(of("mixed")) >= 30 and len(of("-")) >= 10


@pytest.mark.parametrize("asked", OTHER)
def test_no_sentence_is_rejected_in_its_own_language(asked: str) -> None:
    assert [text for text in of(asked) if answered(text, asked)] == []


@pytest.mark.parametrize("asked", OTHER)
def test_sentences_of_the_other_language_are_rejected(asked: str) -> None:
    long = [text for text in of(OTHER[asked]) if len(text.split()) >= 5]
    missed = [text for text in long if not answered(text, asked)]
    assert len(long) > 40 and len(missed) <= 0.05 * len(long), missed


def test_what_nobody_could_tell_is_never_rejected() -> None:
    texts = [*of("-"), "tamam", "evet", "yes, please", "Super!", "", "   ", "😂😂"]
    assert [(t, a) for t in texts for a in ("tr", "en", "mixed") if answered(t, a)] == []


def test_mixed_sentences_show_words_of_both() -> None:
    both = [tongue.words(text) for text in of("mixed")]
    assert sum(bool(words.tr and words.en) for words in both) >= 0.95 * len(both)


def test_a_mixed_row_may_be_answered_in_either_language() -> None:
    asked = "u: meeting'i yarına alalım mı, herkes available değil"
    assert found(asked, "a: Tabii, yarına alalım.", language_="mixed") == []
    assert found(asked, "a: Sure, let us do it tomorrow.", language_="mixed") == []


def test_a_mixed_row_that_is_all_turkish_is_rejected() -> None:
    turns = (
        "u: kanka sana bir şey sorabilir miyim, çok önemli",
        "a: Sor kanka, seni dinliyorum, ne oldu?",
    )
    (message,) = found(*turns, language_="mixed")
    assert message == "question and answer are all Turkish, not mixed as asked"


def test_a_finding_shows_the_answer() -> None:
    (message,) = answered("Sure, go ahead, I'm listening.", "tr")
    assert message == (
        "an answer is English, not Turkish as asked: 'Sure, go ahead, I'm listening.'"
    )


def test_an_answer_that_drifts_away_is_rejected_by_its_sentence() -> None:
    drifted = (
        "Döngü her adımda listenin bir sonraki elemanını alır ve ekrana yazar."
        " This is useful when you want to print everything."
        " Bellekte ayrılan yer, işi biten nesneyle birlikte geri verilir."
    )
    (message,) = answered(drifted, "tr")
    assert message == (
        "a sentence of an answer is English, not Turkish as asked:"
        " 'This is useful when you want to print everything.'"
    )
    assert (
        answered(drifted.replace("This", '"This').replace("everything.", 'everything."'), "tr")
        == []
    )


def test_a_later_answer_of_a_conversation_is_judged_too() -> None:
    turns = (
        "u: selam",
        "a: Selam, nasılsın?",
        "u: iyiyim",
        "a: I am glad to hear that, my friend.",
    )
    assert len(found(*turns, language_="tr")) == 1


def test_who_changes_the_language_in_the_middle_is_followed() -> None:
    english = ("a: Sure, we can go on like that.", "u: great", "a: So, where were we?")
    for change in ("u: can we talk in english now", "u: İngilizce devam edelim mi"):
        assert found("u: selam", "a: Selam, nasılsın?", change, *english, language_="tr") == []
    assert found("u: can we talk in english", english[0], language_="tr") != []
    assert found("u: selam", "a: Selam!", "u: devam edelim mi", *english, language_="tr") != []


def test_code_in_an_answer_is_not_judged() -> None:
    code = "```\nfor item in items:\n    print(the, value, of, every, item)\n```"
    assert answered(f"Şöyle:\n{code}", "tr") == []
    assert answered(f"Like this, as you wanted:\n{code}", "tr") != []


def test_a_row_of_no_language_is_not_judged() -> None:
    assert answered("Sure, go ahead, I'm listening.", "") == []


def test_no_curated_row_of_this_repository_is_rejected() -> None:
    files = [*ROOT.glob("recipes/curated/**/*.jsonl"), *ROOT.glob("jessy_build/starter/**/*.jsonl")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [_row(json.loads(line)) for line in lines]
    assert len(rows) > 500
    assert [finding.message for finding in language.check(rows, Limits())] == []
    swapped = [row._replace(language=OTHER[row.language]) for row in rows if row.language in OTHER]
    caught = {finding.example_id for finding in language.check(swapped, Limits())}
    assert len(caught) > 0.8 * len({row.id for row in swapped})


def _row(row: dict[str, object]) -> Example:
    messages = row.get("messages") or [
        {"role": role, "content": row[role]} for role in ("user", "assistant")
    ]
    turns = [Message(**message) for message in messages]  # type: ignore[union-attr]
    return talk(
        *(f"{turn.role[0]}: {turn.content}" for turn in turns), language=str(row["language"])
    )

import pytest

from jessy_build.validators import Limits, words
from tests.validators.rows import talk

LIMITS = Limits(words={"low": (2, 4), "medium": (3, 9)})

TABLE = [
    # answers, level, what is wrong
    (["iki kelime"], "low", None),
    (["bu da  tam\ndört"], "low", None),
    (["tek"], "low", "an answer has 1 word, outside 2-4 of 'low'"),
    (["bu artık beş kelime oldu"], "low", "an answer has 5 words, outside 2-4 of 'low'"),
    (["bu artık beş kelime oldu"], "medium", None),
    ([""], "low", "an answer has 0 words, outside 2-4 of 'low'"),
    (["tek"], "unheard", None),
    (["tek"], "", None),
    (["iki kelime", "tek"], "low", "an answer has 1 word, outside 2-4 of 'low'"),
    (["tek", "tek"], "low", "an answer has 1 word, outside 2-4 of 'low'"),
]


@pytest.mark.parametrize(("answers", "level", "wrong"), TABLE)
def test_every_answer_is_as_long_as_its_level_says(
    answers: list[str], level: str, wrong: str | None
) -> None:
    turns = [
        turn for answer in answers for turn in ("u: uzun uzun sorulmuş bir soru", f"a: {answer}")
    ]
    findings = list(words.check([talk(*turns, complexity=level)], LIMITS))
    assert [finding.message for finding in findings] == ([wrong] if wrong else [])
    assert all(finding.rule == "words" for finding in findings)

import pytest

from jessy_build.validators import Limits, chars
from tests.validators.rows import talk

TABLE = [
    # answer, least, what is wrong
    ("ok", 2, None),
    ("ok", 3, "an answer has 2 characters, fewer than 3"),
    ("  ok \n", 3, "an answer has 2 characters, fewer than 3"),
    ("", 1, "an answer has 0 characters, fewer than 1"),
    ("ğüşiöç", 6, None),
]


@pytest.mark.parametrize(("answer", "least", "wrong"), TABLE)
def test_an_answer_has_a_least_length(answer: str, least: int, wrong: str | None) -> None:
    row = talk("u: a", f"a: {answer}")
    findings = list(chars.check([row], Limits(min_chars=least)))
    assert [finding.message for finding in findings] == ([wrong] if wrong else [])


def test_a_row_is_told_once_and_questions_may_be_short() -> None:
    row = talk("u: a", "a: b", "u: c", "a: d")
    assert len(list(chars.check([row], Limits(min_chars=5)))) == 1
    assert list(chars.check([talk("u: a", "a: uzunca")], Limits(min_chars=5))) == []

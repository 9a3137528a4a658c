from collections.abc import Callable

import pytest

from jessy_build.example import Example
from jessy_build.validators import Limits, give_aways
from tests.validators.rows import talk

Ask = Callable[[int], str]
WORDS = ["bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz", "on"]


def rows(level: str, ask: Ask, count: int = 40) -> list[Example]:
    return [
        talk(f"u: {ask(n)}", "a: tamam", complexity=level, where=f"{level}:{n}")
        for n in range(count)
    ]


def varied(number: int) -> str:
    """Each way of writing as often as any other."""
    text = " ".join(WORDS[: 1 + number % 10])
    text = text.capitalize() if number // 2 % 2 else text
    return text + ("?" if number % 2 else "")


def found(*levels: list[Example]) -> list[str]:
    findings = list(give_aways.check([row for level in levels for row in level], Limits()))
    assert all((f.rule, f.severity, f.where) == ("give_aways", "warning", "") for f in findings)
    return [finding.message for finding in findings]


def test_levels_that_are_written_alike_are_not_told() -> None:
    assert found(rows("low", varied), rows("high", varied), rows("medium", varied)) == []


@pytest.mark.parametrize(
    ("ask", "sign"),
    [
        (lambda n: varied(n).capitalize(), "begin with a capital letter, 50 % of the others"),
        (lambda n: varied(n).rstrip("?") + ".", "end with one of .!?…, 50 % of the others"),
    ],
)
def test_one_sign_that_half_of_the_others_have_too_is_no_give_away(ask: Ask, sign: str) -> None:
    # 75 % are told apart by it, and 80 % is where the warning begins.
    assert found(rows("high", ask), rows("low", varied)) == []
    lower: Ask = lambda n: varied(n).lower().rstrip("?")  # noqa: E731
    assert any(
        sign.replace("50 %", "0 %") in said for said in found(rows("high", ask), rows("low", lower))
    )


def test_a_give_away_names_the_level_the_sign_and_the_figures() -> None:
    def mostly_small(number: int) -> str:
        return varied(number).capitalize() if number % 10 == 0 else varied(number).lower()

    def capital(number: int) -> str:
        return varied(number).capitalize()

    said = found(rows("high", capital), rows("low", mostly_small))
    assert said == [
        "100 % of the questions of 'high' begin with a capital letter, 10 % of the others: by that"
        " alone 95 % are told apart, where 50 % is chance",
        "90 % of the questions of 'low' begin with a small letter or a sign, 0 % of the others: by"
        " that alone 95 % are told apart, where 50 % is chance",
    ]


def test_length_alone_gives_a_level_away() -> None:
    said = found(
        rows("low", lambda n: " ".join(WORDS[: 1 + n % 4])),
        rows("high", lambda n: " ".join(WORDS[: 5 + n % 5])),
    )
    assert [text.split(":")[0] for text in said] == [
        "100 % of the questions of 'high' have more than 4 words, 0 % of the others",
        "100 % of the questions of 'low' have at most 4 words, 0 % of the others",
    ]


def test_one_level_of_three_is_held_against_both_others() -> None:
    said = found(
        rows("low", varied), rows("medium", varied), rows("high", lambda n: f"{varied(n)} " * 20)
    )
    assert [text.split(" have")[0] for text in said] == ["100 % of the questions of 'high'"]


def test_a_few_questions_show_nothing() -> None:
    few = rows("high", lambda n: varied(n).upper(), count=19)
    assert found(few, rows("low", lambda n: varied(n).lower())) == []


def test_rows_without_a_level_and_data_of_one_level_are_passed_over() -> None:
    assert found(rows("low", varied)) == []
    assert found(rows("", lambda n: varied(n).upper()), rows("low", varied)) == []

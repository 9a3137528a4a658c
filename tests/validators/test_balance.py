from jessy_build.example import Example
from jessy_build.validators import Limits, balance
from tests.validators.rows import talk


def rows(count: int, language: str, level: str = "low") -> list[Example]:
    return [
        talk(f"u: {language} {level} {n}", "a: x", language=language, complexity=level)
        for n in range(count)
    ]


def found(made: list[Example], kept: list[Example], *counted: str) -> list[str]:
    findings = list(balance.check(made, kept, Limits(counted=counted)))
    assert all((f.rule, f.severity) == ("balance", "warning") for f in findings)
    return [finding.message for finding in findings]


def test_what_fell_short_is_told_with_its_figures_worst_first() -> None:
    made = [*rows(20, "tr"), *rows(10, "en"), *rows(10, "en", "high")]
    kept = [*rows(20, "tr"), *rows(10, "en"), *rows(3, "en", "high")]
    assert found(made, kept, "chat") == [
        "'chat' has 33 of the 40 rows asked for; short are level high 3 of 10 (-70 %),"
        " language en 13 of 20 (-35 %)"
    ]


def test_what_is_gone_altogether_is_told_too() -> None:
    made = [*rows(98, "tr"), *rows(2, "en")]
    assert found(made, rows(98, "tr"), "chat") == [
        "'chat' has 98 of the 100 rows asked for; short are language en 0 of 2 (-100 %)"
    ]


def test_a_row_less_here_and_there_is_no_imbalance() -> None:
    made = [*rows(30, "tr"), *rows(3, "en")]
    assert found(made, [*rows(29, "tr"), *rows(2, "en")], "chat") == []
    assert found(made, made, "chat") == []


def test_where_all_rows_were_asked_for_nothing_is_missing() -> None:
    assert found(rows(20, "tr"), rows(5, "tr"), "another") == []


def test_what_lost_as_much_as_the_whole_is_not_told_again() -> None:
    made = rows(20, "tr")
    assert found(made, made[::2], "chat") == ["'chat' has 10 of the 20 rows asked for"]


def test_very_many_topics_are_told_in_one_line() -> None:
    made = [row._replace(topic=f"topic {n // 4:02}") for n, row in enumerate(rows(160, "tr"))]
    (said,) = found(made, [*made[:80], *made[80::2]], "chat")
    assert said.count("of 4 (-50 %)") == 6 and said.endswith(", and 14 more")

"""The table of validators as the validate step uses it."""

from typing import Any

import pytest

from jessy_build.validators import TOGETHER, VALIDATORS, Finding, Judged, check
from tests.validators.rows import talk

WORDS = {"low": [1, 3]}
ITERATIONS = {"low": [1, 2]}
ALL: dict[str, Any] = {
    **dict.fromkeys(("roles", "words", "duplicates", "complexity", "language"), True),
    "min_chars": 2,
    "near_duplicate": 0.8,
    "forbid": ["robot"],
    "persona": {"calm": {"complexity": ["high"], "require": ["sakin"]}},
}

ROWS = [
    talk("u: selam", "a: selam sana", where="r:1"),
    talk("u: Selam!", "a: bu çok uzun bir cevap", where="r:2"),
    talk("u: naber", where="r:3"),
    talk("u: tamam mı", "a: o", where="r:4"),
    talk("u: ne var ne yok", "a: iyilik", where="r:5")._replace(iterations=3),
    talk("u: sana bir şey sorabilir miyim", "a: sor", where="r:6"),
    talk("u: sana bi şey sorabilir miyim", "a: tabii", where="r:7"),
    talk("u: kaç yaşındasın", "a: nobody really knows", where="r:8"),
    talk("u: kimsin sen", "a: Robotum, robot!", where="r:9"),
    talk("u: deprem oldu", "a: koş", where="r:10", complexity="high"),
]


def found(rules: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding.where, finding.rule) for finding in check(ROWS, rules, WORDS, ITERATIONS)]


def test_findings_come_in_the_order_of_the_rows() -> None:
    assert found(ALL) == [
        ("r:2", "words"),
        ("r:2", "duplicates"),
        ("r:3", "roles"),
        ("r:4", "min_chars"),
        ("r:5", "complexity"),
        ("r:7", "near_duplicate"),
        ("r:8", "language"),
        ("r:9", "forbid"),
        ("r:10", "persona"),
    ]


def test_of_two_that_ask_the_same_the_one_stays_that_keeps_the_other_rules() -> None:
    rows = [
        talk("u: sana bi soru sorucam", "a: bu çok uzun bir cevap", where="r:1"),
        talk("u: Sana bi soru sorucam!", "a: sor", where="r:2"),
        talk("u: sana bi soru sorucaam", "a: sor", where="r:3"),
    ]
    findings = [(finding.where, finding.rule) for finding in check(rows, ALL, WORDS, ITERATIONS)]
    assert findings == [("r:1", "words"), ("r:1", "duplicates"), ("r:3", "near_duplicate")]


@pytest.mark.parametrize("rule", VALIDATORS)
def test_a_rule_that_the_recipe_puts_off_finds_nothing(rule: str) -> None:
    without = found({**ALL, rule: False})
    assert without == [pair for pair in found(ALL) if pair[1] != rule]


def test_good_rows_have_no_findings_and_no_rows_have_none() -> None:
    assert check(ROWS[:1], ALL, WORDS) == []
    assert check([], ALL, WORDS) == []


def test_each_rule_signs_with_the_name_it_is_listed_under() -> None:
    judged = {(ROWS[2].id, "r:3"): Judged({"naturalness": 1}, "Stiff.")}
    findings: list[Finding] = check(
        ROWS, ALL, WORDS, ITERATIONS, at_least={"naturalness": 2}, judged=judged
    )
    assert {finding.rule for finding in findings} == set(VALIDATORS) - set(TOGETHER)


def test_what_is_said_of_all_rows_comes_last_and_rejects_none() -> None:
    quiet = [talk(f"u: soru {n}", "a: cevap", where=f"q:{n}") for n in range(30)]
    loud = [
        talk(f"u: Neden {n}?", "a: c", where=f"l:{n}", complexity="high", category="deep")
        for n in range(30)
    ]
    rules = {**ALL, "near_duplicate": None, "persona": {}}
    findings = check([*quiet, *loud], rules, {}, counted=["chat", "deep"])
    # All of the deep ones are too short, so that no level is left to be told from another.
    assert [f.rule for f in findings] == ["min_chars"] * 30 + ["balance"]
    (*_, last) = findings
    assert (last.severity, last.example_id, last.where) == ("warning", "", "")
    findings = check([*quiet, *loud], {**rules, "min_chars": 1}, {}, counted=["chat", "deep"])
    assert {(f.rule, f.severity) for f in findings} == {("give_aways", "warning")}
    for rule in TOGETHER:
        without = check([*quiet, *loud], {**rules, rule: False}, {}, counted=["chat", "deep"])
        assert rule not in {finding.rule for finding in without}

"""Rows below the scores that a recipe asks for."""

from jessy_build.validators import Judged, check
from tests.validators.rows import talk

ROWS = [
    talk("u: selam", "a: selam", where="r:1"),
    talk("u: naber", "a: iyi", where="r:2"),
    talk("u: ne var ne yok", "a: iyilik", where="r:3"),
]


def judged(**scores: dict[str, int]) -> dict[tuple[str, str], Judged]:
    rows = {row.origin.source.replace(":", ""): row for row in ROWS}
    return {
        (rows[name].id, rows[name].origin.source): Judged(said, "Stiff.")
        for name, said in scores.items()
    }


def found(at_least: dict[str, int], **scores: dict[str, int]) -> list[tuple[str, str, str]]:
    findings = check(ROWS, {}, {}, at_least=at_least, judged=judged(**scores))
    return [(f.where, f.severity, f.message) for f in findings if f.rule == "judge"]


def test_a_row_falls_with_each_criterion_that_is_too_low_and_the_judges_reason() -> None:
    low = {"naturalness": 2, "warmth": 1}
    assert found({"naturalness": 3, "warmth": 2}, r1={"naturalness": 3, "warmth": 2}, r2=low) == [
        ("r:2", "error", "naturalness 2, at least 3; warmth 1, at least 2: Stiff.")
    ]
    assert found({"naturalness": 3}, r2=low) == [
        ("r:2", "error", "naturalness 2, at least 3: Stiff.")
    ]


def test_scores_alone_reject_nothing_and_rows_without_any_stand() -> None:
    assert found({}, r1={"naturalness": 1}) == []
    assert found({"naturalness": 5}) == []


def test_of_rows_that_ask_the_same_the_next_stays_where_the_first_one_falls() -> None:
    rows = [ROWS[0], ROWS[0]._replace(origin=ROWS[1].origin)]
    first = {(rows[0].id, "r:1"): Judged({"naturalness": 1}, "Stiff.")}
    said = check(rows, {}, {}, at_least={"naturalness": 2}, judged=first)
    assert {f.where for f in said} == {"r:1"}
    assert {f.where for f in check(rows, {}, {})} == {"r:2"}

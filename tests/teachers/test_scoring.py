"""What a judge says, and how strictly it is read."""

import json
from typing import Any

import pytest

from jessy_build.teachers import scoring
from jessy_build.teachers.asking import Malformed
from jessy_build.teachers.scoring import Scores

RUBRIC = {"naturalness": "Reads as a friend writes.", "class-1": "Is kind."}
CRITERIA = tuple(RUBRIC)


def said(**more: Any) -> str:
    return json.dumps({"reason": "Fine.", "naturalness": 4, "class-1": 1, **more})


def test_the_schema_asks_for_a_reason_and_then_a_number_of_five_for_each_criterion() -> None:
    schema = scoring.schema(RUBRIC)
    assert list(schema["properties"]) == ["reason", *RUBRIC] == schema["required"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["class-1"] == {
        "type": "integer",
        "enum": [1, 2, 3, 4, 5],
        "description": "Is kind.",
    }
    # Servers refuse these.
    assert not {"minimum", "maximum"} & set(json.dumps(schema).split('"'))


def test_another_meaning_is_another_question_whatever_the_prompt_reads() -> None:
    assert scoring.schema(RUBRIC) != scoring.schema({**RUBRIC, "class-1": "Is warm."})


def test_scores_are_read_in_the_order_of_the_rubric() -> None:
    read = scoring.parse('{"class-1": 5, "naturalness": 2, "reason": " Stiff. "}', CRITERIA)
    assert read == Scores({"naturalness": 2, "class-1": 5}, "Stiff.")
    assert list(read.scores) == list(CRITERIA)


@pytest.mark.parametrize("score", [0, 6, -1, 4.5, 4.0, "4", True, None, [4], {"score": 4}, "good"])
def test_only_whole_numbers_from_1_to_5_are_scores(score: Any) -> None:
    with pytest.raises(Malformed, match="'class-1' is no whole number from 1 to 5"):
        scoring.parse(said(**{"class-1": score}), CRITERIA)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"reason": "Fine.", "naturalness": 4}', "'class-1': Field required"),
        ('{"naturalness": 4, "class-1": 4}', "'reason': Field required"),
        (said(reason="  "), "'reason'"),
        (said(reason=4), "'reason'"),
        (said(warmth=4), "'warmth'"),
        (said(criterion_0=4), "'criterion_0'"),
        ("[4, 4]", "object"),
        ("4 of 5", "JSON"),
        ("", "JSON"),
    ],
)
def test_what_is_not_just_that_is_malformed(text: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        scoring.parse(text, CRITERIA)

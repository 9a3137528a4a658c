"""Reading an example back: only what is exactly one passes, and the reason is said otherwise."""

import json

import pytest
from pydantic import BaseModel

from jessy_build import hosts
from jessy_build.diagnostics import StepError
from jessy_build.example import Message
from jessy_build.teachers import Malformed, Shape, asking, example_schema, parse


def test_a_good_answer_is_a_question_and_an_answer_without_outer_space() -> None:
    assert parse('{"user": " Selam! ", "assistant": "Selam, iyi misin?\\n"}') == (
        Message("user", "Selam!"),
        Message("assistant", "Selam, iyi misin?"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("Tabii! İşte bir soru:", "Invalid JSON"),
        ('{"user": "a", "assistant": "b"', "Invalid JSON"),
        ('```json\n{"user": "a", "assistant": "b"}\n```', "Invalid JSON"),
        ('{"user": "a", "assistant": "b"} ve bir de', "Invalid JSON"),
        ('["a", "b"]', "object"),
        ('{"user": "a"}', "'assistant': Field required"),
        ('{"user": "a", "assistant": 3}', "'assistant': Input should be a valid string"),
        ('{"user": "a", "assistant": null}', "'assistant'"),
        ('{"user": "a", "assistant": "b", "note": "c"}', "'note'"),
        ('{"user": "", "assistant": "b"}', "'user' is empty"),
        ('{"user": "a", "assistant": " \\n"}', "'assistant' is empty"),
        ('{"user": "\\ud83d", "assistant": "b"}', "Invalid JSON"),
    ],
)
def test_what_is_no_example_says_why(text: str, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert str(caught.value) == caught.value.reason


def test_the_reason_does_not_repeat_a_long_answer() -> None:
    with pytest.raises(Malformed) as caught:
        parse(json.dumps({"user": "a", "assistant": ["uzun " * 1000]}))
    assert len(caught.value.reason) < 200


def test_the_schema_is_the_one_that_answers_are_checked_by() -> None:
    class Turn(BaseModel):
        user: str
        assistant: str

    made = Turn.model_json_schema()
    schema = example_schema()
    assert set(schema["properties"]) == set(made["properties"])
    assert schema["required"] == made["required"]
    assert schema["additionalProperties"] is False


def conversation(**texts: str) -> str:
    return json.dumps(
        {"user_1": "a", "assistant_1": "b", "user_2": "c", "assistant_2": "d"} | texts
    )


def test_a_conversation_is_read_in_the_order_in_which_it_was_asked_for() -> None:
    assert parse(conversation(user_1=" Selam! "), Shape(2)) == (
        Message("user", "Selam!"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", "d"),
    )
    schema = example_schema(Shape(2))
    assert list(schema["properties"]) == ["user_1", "assistant_1", "user_2", "assistant_2"]
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "turns", "reason"),
    [
        ('{"user": "a", "assistant": "b"}', 2, "'user_1': Field required"),
        (conversation(), 1, "'user': Field required"),
        (conversation(), 3, "'user_3': Field required"),
        (conversation(user_3="e"), 2, "'user_3'"),
        (conversation(assistant_2=" "), 2, "'assistant_2' is empty"),
        ("[]", 2, "object"),
    ],
)
def test_a_conversation_of_another_length_is_none(text: str, turns: int, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(text, Shape(turns))
    assert reason in caught.value.reason


def test_one_turn_is_asked_for_as_ever() -> None:
    assert example_schema() == example_schema(Shape(1))
    assert list(example_schema()["properties"]) == ["user", "assistant"]


@pytest.mark.parametrize(
    ("url", "told", "loopback"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", True),
        ("http://localhost/v1/", "http://localhost", True),
        ("http://[::1]:8080", "http://[::1]:8080", True),
        ("http://127.8.8.8", "http://127.8.8.8", True),
        ("https://user:secret@models.example:8443/x?token=y", "https://models.example:8443", False),
        ("http://192.168.1.2", "http://192.168.1.2", False),
        ("http://localhost.example", "http://localhost.example", False),
    ],
)
def test_a_host_is_told_without_secrets(url: str, told: str, loopback: bool) -> None:
    assert asking.host_of(url, named_by="X") == told
    assert hosts.is_loopback(url) is loopback


@pytest.mark.parametrize("url", ["", "models.example", "file:///etc/passwd", "http://a b/"])
def test_what_is_no_address_names_where_it_stands(url: str) -> None:
    with pytest.raises(StepError, match=r"^SOME_HOST holds no address of a server$"):
        asking.host_of(url, named_by="SOME_HOST")


def test_scrubbing_takes_every_secret_and_ignores_empty_ones() -> None:
    assert asking.scrub("a KEY b KEY c PIN", ["KEY", "", "PIN"]) == "a [key] b [key] c [key]"

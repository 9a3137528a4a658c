import pytest

from jessy_build.validators import Limits, roles
from tests.validators.rows import talk

TABLE = [
    # turns, what is wrong
    (["u: selam", "a: selam!"], None),
    (["u: selam", "a: selam!", "u: naber", "a: iyi"], None),
    (["s: Kısa konuş.", "u: selam", "a: selam!"], None),
    ([], "the row has no turn"),
    (["s: Kısa konuş."], "the row has no turn"),
    (["u: selam"], "the last message is the user's: nothing of its answer can be trained"),
    (
        ["u: selam", "a: selam!", "u: naber"],
        "the last message is the user's: nothing of its answer can be trained",
    ),
    (["a: selam!"], "message 1 is the assistant's instead of the user's"),
    (["u: selam", "u: naber", "a: iyi"], "message 2 is the user's instead of the assistant's"),
    (["u: selam", "a: selam!", "a: naber"], "message 3 is the assistant's instead of the user's"),
    (
        ["u: selam", "s: Kısa konuş.", "a: selam!"],
        "message 2 is the system's instead of the assistant's",
    ),
    (["s: a", "s: b", "u: selam", "a: selam!"], "message 2 is the system's instead of the user's"),
    (["u:  ", "a: selam!"], "message 1 is empty"),
    (["u: selam", "a: \n\t"], "message 2 is empty"),
]


@pytest.mark.parametrize(("turns", "wrong"), TABLE)
def test_turns_alternate_and_end_with_an_answer(turns: list[str], wrong: str | None) -> None:
    findings = list(roles.check([talk(*turns)], Limits()))
    assert [finding.message for finding in findings] == ([wrong] if wrong else [])


def test_a_finding_says_which_row_and_how_bad() -> None:
    row = talk("u: selam", where="a.jsonl:9")
    (finding,) = roles.check([talk("u: a", "a: b"), row], Limits())
    assert (finding.example_id, finding.where) == (row.id, "a.jsonl:9")
    assert (finding.rule, finding.severity) == ("roles", "error")

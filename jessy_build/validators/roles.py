"""A conversation alternates, says something in each turn, and ends with the assistant's."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example, Message
from jessy_build.validators.finding import Finding, Limits, error

RULE = "roles"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        if problem := _problem(example.messages):
            yield error(example, RULE, problem)


def _problem(messages: Sequence[Message]) -> str:
    """The first one: what follows a missing turn is wrong because of it."""
    for number, message in enumerate(messages, start=1):
        if not message.content.strip():
            return f"message {number} is empty"
    # One system text may stand before everything else.
    before = 1 if messages and messages[0].role == "system" else 0
    turns = messages[before:]
    if not turns:
        return "the row has no turn"
    for index, message in enumerate(turns):
        wanted = ("user", "assistant")[index % 2]
        if message.role != wanted:
            return f"message {before + index + 1} is the {message.role}'s instead of the {wanted}'s"
    if len(turns) % 2:
        return "the last message is the user's: nothing of its answer can be trained"
    return ""

"""No answer says what the recipe forbids to all of them."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.speech import phrases
from jessy_build.validators.finding import Finding, Limits, error

RULE = "forbid"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples if limits.forbid else ():
        for message in example.messages:
            if message.role == "assistant" and (
                said := phrases.said(limits.forbid, message.content)
            ):
                yield error(example, RULE, f"an answer says '{said}', which is forbidden")
                break

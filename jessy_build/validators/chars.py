"""An answer has a least number of characters; spaces around it do not count."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, error

RULE = "min_chars"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        for message in example.messages:
            count = len(message.content.strip())
            if message.role == "assistant" and count < limits.min_chars:
                yield error(
                    example,
                    RULE,
                    f"an answer has {count} characters, fewer than {limits.min_chars}",
                )
                break

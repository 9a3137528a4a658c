"""An answer is as long as its complexity level says. Words are what spaces separate."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, error

RULE = "words"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        if example.complexity in limits.words:
            low, high = limits.words[example.complexity]
            for count in _answers(example):
                if not low <= count <= high:
                    yield error(example, RULE, _told(count, example.complexity, low, high))
                    break


def _answers(example: Example) -> Iterator[int]:
    for message in example.messages:
        if message.role == "assistant":
            yield len(message.content.split())


def _told(count: int, level: str, low: int, high: int) -> str:
    words = "1 word" if count == 1 else f"{count} words"
    return f"an answer has {words}, outside {low}-{high} of '{level}'"

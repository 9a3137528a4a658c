"""Rows of some categories, languages or levels say, or never say, what their persona would."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.speech import phrases
from jessy_build.validators.finding import Finding, Limits, Manner, error

RULE = "persona"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        for name, manner in limits.persona.items():
            if _meant(example, manner) and (problem := _problem(example, manner)):
                yield error(example, RULE, f"{problem} ({RULE}.{name})")


def _meant(example: Example, manner: Manner) -> bool:
    return (
        (not manner.categories or example.category in manner.categories)
        and (not manner.languages or example.language in manner.languages)
        and (not manner.complexity or example.complexity in manner.complexity)
    )


def _problem(example: Example, manner: Manner) -> str:
    answers = [m.content for m in example.messages if m.role == "assistant"]
    if manner.forbid:
        said = next(filter(None, (phrases.said(manner.forbid, text) for text in answers)), "")
        if said:
            return f"an answer says '{said}', which is forbidden here"
    # A conversation says it somewhere: nobody gives their name in each sentence.
    if manner.require and not any(phrases.said(manner.require, text) for text in answers):
        return f"no answer says {' or '.join(repr(phrase) for phrase in manner.require)}"
    return ""

"""A row gets at least the scores that the recipe asks for, from whoever judges it."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, error

RULE = "judge"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    if not (limits.judged and limits.at_least):
        return
    for example in examples:
        judged = limits.judged.get((example.id, example.origin.source))
        if judged is None:
            continue
        short = [
            f"{name} {judged.scores[name]}, at least {least}"
            for name, least in limits.at_least.items()
            if judged.scores[name] < least
        ]
        if short:
            yield error(example, RULE, f"{'; '.join(short)}: {judged.reason}")

"""A row that says how many steps of thought it takes has as many as its complexity level says."""

from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, error

RULE = "complexity"


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        if example.iterations is None or example.complexity not in limits.iterations:
            continue
        low, high = limits.iterations[example.complexity]
        if not low <= example.iterations <= high:
            level = f"{low}-{high} of '{example.complexity}'"
            yield error(example, RULE, f"the row has {example.iterations} iterations, not {level}")

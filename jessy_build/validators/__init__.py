"""The rules that rows must keep: one pure function each, listed here by its name in the recipe."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from jessy_build.example import Example
from jessy_build.validators import chars, duplicates, roles, words
from jessy_build.validators import iterations as iterations_
from jessy_build.validators.finding import Finding, Limits

__all__ = ["VALIDATORS", "Finding", "Limits", "check"]

Check = Callable[[Sequence[Example], Limits], Iterable[Finding]]
"""Given all rows of a data set in their order; says what is wrong with which, and changes none."""

VALIDATORS: dict[str, Check] = {
    roles.RULE: roles.check,
    chars.RULE: chars.check,
    words.RULE: words.check,
    iterations_.RULE: iterations_.check,
    duplicates.RULE: duplicates.check,
}


def check(
    examples: Sequence[Example],
    rules: Mapping[str, object],
    words: Mapping[str, Sequence[int]],
    iterations: Mapping[str, Sequence[int]] | None = None,
) -> list[Finding]:
    """All findings of the rules that are on, in the order of the rows.

    `rules` is the recipe's `dataset.validate`: a rule set to false is off. `words` and `iterations`
    have [from, to] for each level of complexity.
    """
    min_chars = rules.get("min_chars", 1)
    limits = Limits(
        words={level: (span[0], span[1]) for level, span in words.items()},
        iterations={level: (span[0], span[1]) for level, span in (iterations or {}).items()},
        min_chars=min_chars if isinstance(min_chars, int) else 1,
    )
    on = [validator for name, validator in VALIDATORS.items() if rules.get(name, True)]
    findings = [finding for validator in on for finding in validator(examples, limits)]
    place = {(e.id, e.origin.source): index for index, e in enumerate(examples)}
    return sorted(findings, key=lambda finding: place[finding.example_id, finding.where])

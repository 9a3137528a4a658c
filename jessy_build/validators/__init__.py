"""The rules that rows must keep: one pure function each, listed here by its name in the recipe."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jessy_build.example import Example
from jessy_build.validators import (
    balance,
    chars,
    duplicates,
    forbid,
    give_aways,
    judge,
    language,
    near_duplicates,
    persona,
    roles,
    words,
)
from jessy_build.validators import iterations as iterations_
from jessy_build.validators.finding import Finding, Judged, Limits, Manner

__all__ = ["VALIDATORS", "Finding", "Judged", "Limits", "check"]

Check = Callable[[Sequence[Example], Limits], Iterable[Finding]]
"""Given all rows of a data set in their order; says what is wrong with which, and changes none."""

Together = Callable[[Sequence[Example], Sequence[Example], Limits], Iterable[Finding]]
"""Given all rows, and those of them that broke no rule."""

ALONE: dict[str, Check] = {
    roles.RULE: roles.check,
    chars.RULE: chars.check,
    words.RULE: words.check,
    iterations_.RULE: iterations_.check,
    language.RULE: language.check,
    forbid.RULE: forbid.check,
    persona.RULE: persona.check,
    judge.RULE: judge.check,
}
"""Each looks at every row by itself."""

COMPARING: dict[str, Check] = {
    duplicates.RULE: duplicates.check,
    near_duplicates.RULE: near_duplicates.check,
}
"""These hold rows against each other."""

TOGETHER: dict[str, Together] = {
    give_aways.RULE: lambda made, kept, limits: give_aways.check(kept, limits),
    balance.RULE: balance.check,
}
"""These look at what is left once bad rows are out, and only warn."""

VALIDATORS = {**ALONE, **COMPARING, **TOGETHER}


def check(
    examples: Sequence[Example],
    rules: Mapping[str, Any],
    words: Mapping[str, Sequence[int]],
    iterations: Mapping[str, Sequence[int]] | None = None,
    prompts: Sequence[str] = (),
    counted: Sequence[str] = (),
    at_least: Mapping[str, int] | None = None,
    judged: Mapping[tuple[str, str], Judged] | None = None,
    left_out: Sequence[Example] = (),
) -> list[Finding]:
    """All findings of the rules that are on, in the order of the rows; last what is said of all.

    `rules` is the recipe's `dataset.validate`: a rule set to false is off. `words` and `iterations`
    have [from, to] for each level of complexity; `prompts` are those that nobody may be trained on,
    `counted` the categories whose number of rows is asked for; `judged` is what a judge said of
    rows, by id and origin, and `at_least` the scores that they need. Nobody judges what is
    `left_out` already, but the data set lacks it.
    """
    limits = Limits(
        words={level: (span[0], span[1]) for level, span in words.items()},
        iterations={level: (span[0], span[1]) for level, span in (iterations or {}).items()},
        min_chars=int(rules.get("min_chars", 1)),
        near_duplicate=rules.get("near_duplicate"),
        prompts=tuple(prompts),
        forbid=tuple(rules.get("forbid") or ()),
        persona={name: _manner(said) for name, said in (rules.get("persona") or {}).items()},
        at_least=at_least or {},
        judged=judged or {},
        counted=tuple(counted),
    )
    findings = _found(ALONE, rules, examples, limits)
    # Of rows that ask the same the first stays; one that falls for another reason is no first one.
    bad = {(finding.example_id, finding.where) for finding in findings}
    fall = [(example.id, example.origin.source) in bad for example in examples]
    ordered = [
        e for wanted in (False, True) for e, f in zip(examples, fall, strict=True) if f is wanted
    ]
    findings += _found(COMPARING, rules, ordered, limits)
    place = {(e.id, e.origin.source): index for index, e in enumerate(examples)}
    findings.sort(key=lambda finding: place[finding.example_id, finding.where])
    return [*findings, *_together(findings, rules, examples, left_out, limits)]


def _together(
    findings: Sequence[Finding],
    rules: Mapping[str, Any],
    examples: Sequence[Example],
    left_out: Sequence[Example],
    limits: Limits,
) -> Iterable[Finding]:
    bad = {(finding.example_id, finding.where) for finding in findings}
    kept = [example for example in examples if (example.id, example.origin.source) not in bad]
    for name, validator in TOGETHER.items():
        if rules.get(name, True):
            yield from validator([*examples, *left_out], kept, limits)


def _manner(said: Mapping[str, Sequence[str] | None]) -> Manner:
    return Manner(**{field: tuple(values or ()) for field, values in said.items()})


def _found(
    table: Mapping[str, Check],
    rules: Mapping[str, Any],
    examples: Sequence[Example],
    limits: Limits,
) -> list[Finding]:
    on = [validator for name, validator in table.items() if rules.get(name, True)]
    return [finding for validator in on for finding in validator(examples, limits)]

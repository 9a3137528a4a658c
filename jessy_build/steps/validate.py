"""validate: no bad row reaches the model; each rejected one is named with its rule and reason."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import StepError
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.example import Example, read_jsonl, to_line, write_jsonl
from jessy_build.plan.step import Step
from jessy_build.steps import evaluate, judge, replacing, reviewed, score_rows, stored_rows, weights
from jessy_build.steps.desk import Asking
from jessy_build.steps.judge import Judge
from jessy_build.steps.scores import Bench

if TYPE_CHECKING:
    from jessy_build.engine.ledger import Ledger
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.review import Decisions
    from jessy_build.validators import Finding, Judged

name = "validate"
version = 4
holds = always

SHOWN = 10


@dataclass(frozen=True)
class Judging:
    """What the step works with beside its inputs."""

    decided: "Decisions"
    asking: "Mapping[str, Asking]" = field(default_factory=dict)
    """The categories whose teachers give rows in place of rejected ones."""
    judge: Judge | None = None


def expand(loaded: "LoadedRecipe", ledger: "Ledger", generating: Sequence[Step] = ()) -> list[Step]:
    rules = loaded.recipe.dataset.validate_
    levels = loaded.recipe.complexity.items()
    words = {level: list(spec.words) for level, spec in levels}
    iterations = {level: list(spec.iterations) for level, spec in levels}
    decided, judges = reviewed.decisions(loaded), judge.of(loaded, ledger)
    params: dict[str, Any] = {
        "rules": rules.model_dump(mode="json", exclude={"judge"}),
        "words": words,
        "iterations": iterations,
        "order": list(loaded.recipe.categories),
        "counted": [n for n, c in loaded.recipe.categories.items() if c.count != "all"],
        **reviewed.params(decided),
        **judge.params(loaded, judges),
    }
    needs = {category: f"generate:{category}" for category in loaded.recipe.categories}
    about: dict[str, Any] = {
        "dataset.validate": params["rules"],
        "complexity": {
            level: {"words": words[level], "iterations": iterations[level]} for level in words
        },
        "categories": ", ".join(loaded.recipe.categories),
        **reviewed.about(decided),
        **judge.about(loaded, judges),
    }
    if rules.near_duplicate is not None and loaded.recipe.evaluate is not None:
        # Only there: else another prompt would have rows looked at once more for nothing.
        prompts = loaded.evaluate_prompts
        params["prompts"] = [prompt.prompt for prompt in prompts if not prompt.seen]
        about["evaluate.prompts"] = [evaluate.said_of(prompt) for prompt in prompts]
    asking: dict[str, Asking] = {}
    if rules.on_reject == "replace":
        asked = [step for step in generating if isinstance(step.payload, Asking)]
        asking = {step.params["category"]: step.payload for step in asked}
        params["asked"] = {step.params["category"]: step.params["items"] for step in asked}
    span = loaded.span_of("dataset.validate")
    judging = Judging(decided, asking, judges)
    configs = [one.config for one in (*asking.values(), *([judges] if judges else ()))]
    pool = weights.pool(*configs) if configs else "cpu"
    return [Step(name, name, version, params, needs, pool, span, judging, about)]


def check(
    judged: reviewed.Reviewed,
    params: Mapping[str, Any],
    scored: "Mapping[tuple[str, str], Judged] | None" = None,
) -> "list[Finding]":
    """By the rules of the step's parameters, and what a judge said of the rows."""
    from jessy_build import validators

    return validators.check(
        judged.rows,
        params["rules"],
        params["words"],
        params["iterations"],
        params.get("prompts", ()),
        params["counted"],
        params.get("judge", {}).get("at_least"),
        scored,
        judged.rejected,
    )


def run(job: Job) -> Facts:
    examples = [
        example
        for category in job.step.params["order"]
        for example in read_jsonl(job.inputs[category] / "examples.jsonl")
    ]
    params, judging = job.step.params, job.step.payload
    bench = Bench(job, judging.judge, params["rules"]["on_reject"] != "fail")
    made = replacing.Replaced([], [])
    # Also where nobody can be asked: a counted category of curated rows alone may fall short.
    replaces = params["rules"]["on_reject"] == "replace"
    if replaces:
        made = _replaced(job, examples, bench)
        examples = made.rows
    judged = reviewed.applied(examples, judging.decided)
    findings = made.findings if replaces else _found(judged, params, bench)
    bad = {(f.example_id, f.where) for f in findings if f.severity == "error"}
    if bad and params["rules"]["on_reject"] == "fail":
        raise _rejected(findings, len(bad), len(examples))
    findings = judged.findings(findings, examples)
    told = [finding for finding in findings if finding.rule != reviewed.RULE]
    errors = [_line(finding) for finding in told if finding.severity == "error"]
    warnings = [_line(finding) for finding in told if finding.severity == "warning"]
    for line in [*errors[:SHOWN], *warnings[:SHOWN]]:
        job.note(line)
    kept = [example for example in judged.rows if (example.id, example.origin.source) not in bad]
    if not kept:
        raise StepError(
            f"all {len(examples)} rows were rejected",
            hint="read the findings above; dataset.validate in the recipe sets the rules",
        )
    write_jsonl(job.out / "examples.jsonl", kept)
    # What was said of rows that gave their place away is told with the rest.
    findings = [*made.rejected, *findings]
    rows = [json.dumps(asdict(finding), ensure_ascii=False) + "\n" for finding in findings]
    (job.out / "findings.jsonl").write_text("".join(rows), encoding="utf-8")
    return {
        "rows": len(kept),
        "rejected": len(examples) - len(kept),
        "by_rule": _by_rule(findings, "error"),
        "warned": _by_rule(findings, "warning"),
        "warnings": warnings[:SHOWN],
        **_swapped(job, made),
        **_scored(job, bench),
    }


def _found(left: reviewed.Reviewed, params: Mapping[str, Any], bench: Bench) -> "list[Finding]":
    return bench.findings(left.rows, left.accepted, lambda said: check(left, params, said))


def _scored(job: Job, bench: Bench) -> dict[str, Any]:
    """Writes the scores beside the rows, those of rejected rows among them."""
    if bench.judge is None:
        return {}
    lines = [score_rows.line(one, bench.judge.teacher) for one in bench.scored.values()]
    score_rows.write(job.out / score_rows.FILE, lines)
    return {
        "judged": {
            "rows": len(lines),
            "asked": bench.asked,
            **score_rows.means(lines),
            "tokens": dict(bench.measured),
        }
    }


def _replaced(job: Job, examples: Sequence[Example], bench: Bench) -> replacing.Replaced:
    params, judging = job.step.params, job.step.payload

    def judge(rows: Sequence[Example]) -> "list[Finding]":
        return _found(reviewed.applied(rows, judging.decided), params, bench)

    def by_hand(row: Example) -> bool:
        # What somebody has put right is not given up for another answer.
        return reviewed.is_edited(row, judging.decided)

    made = replacing.replaced(job, examples, judge, judging.asking, by_hand)
    # Of the others nobody asked for a number.
    bad = [place for place in made.bad if made.rows[place].category in params["counted"]]
    if bad:
        raise replacing.shortfall(made, bad)
    return made


def _swapped(job: Job, made: replacing.Replaced) -> dict[str, Any]:
    """Rows that took the place of others, with what the others are named by."""
    if not job.step.payload.asking:
        return {}
    with (job.out / stored_rows.REPLACED).open("w", encoding="utf-8") as file:
        for swap in made.swaps:
            there = {"source": swap.gone.origin.source, "ordinal": swap.ordinal}
            row = {**json.loads(to_line(swap.taken)), "in_place_of": there}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return {"replaced": len(made.swaps), "asked": made.counts.asked}


def _by_rule(findings: "Sequence[Finding]", severity: str) -> dict[str, int]:
    return dict(Counter(finding.rule for finding in findings if finding.severity == severity))


def _rejected(findings: "Sequence[Finding]", bad: int, rows: int) -> StepError:
    lines = [_line(finding) for finding in findings if finding.severity == "error"]
    more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return StepError(
        f"{bad} of {rows} rows break the rules:\n  " + "\n  ".join(lines[:SHOWN]) + more,
        hint="mend the rows, or set dataset.validate.on_reject: drop to go on without them",
    )


def _line(finding: "Finding") -> str:
    # Of what was asked for there is no line of a file; its id is a word for `jessy show`.
    where = finding.where if ":" in finding.where else finding.example_id
    return ": ".join(filter(None, (where, finding.rule, finding.message)))


def summary(facts: Facts) -> str:
    rejected = f", {facts['rejected']} rejected" if facts["rejected"] else ", none rejected"
    warned = sum(facts.get("warned", {}).values())
    warnings = f", {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    replaced = f", {facts['replaced']} replaced" if facts.get("replaced") else ""
    judged = facts.get("judged")
    scored = f", {judged['rows']} judged ({judged['asked']} asked)" if judged else ""
    return f"{facts['rows']} rows{rejected}{replaced}{warnings}{scored}"

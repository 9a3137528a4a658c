"""score: how much of what the suites expect holds, of the base's answers and of the tuned one's."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.recipe import suites
from jessy_build.steps import evaluate, suite_params

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "score"
version = 1
holds = always

FILE = "scores.json"
MODELS = ("base", "tuned")


def expand(loaded: "LoadedRecipe") -> list[Step]:
    found = suites.of(loaded.recipe)
    if not found:
        return []
    params = {"suites": {suite.name: suite_params.of(loaded, suite) for suite in found}}
    about = suite_params.about(loaded, found)
    span = loaded.span_of("evaluate.suites")
    return [Step(name, name, version, params, {"answers": "evaluate"}, span=span, about=about)]


def run(job: Job) -> Facts:
    with (job.inputs["answers"] / evaluate.SUITES).open(encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    answers = {(row["prompt"], row["max_tokens"]): row for row in rows}
    found = {
        suite: {who: _of_model(params, answers, who) for who in MODELS}
        for suite, params in job.step.params["suites"].items()
    }
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (job.out / FILE).write_text(text + "\n", encoding="utf-8")
    return {"suites": found}


def _of_model(
    params: Mapping[str, Any], answers: Mapping[tuple[str, int], Mapping[str, Any]], who: str
) -> dict[str, Any]:
    from jessy_build.evaluators import scoring
    from jessy_build.evaluators.rules import Said

    said = [
        Said(**answers[prompt["prompt"], params["max_tokens"]][who]) for prompt in params["prompts"]
    ]
    scored = suite_params.scored(params, said)
    rows = [
        {
            "prompt": prompt["prompt"],
            "text": answer.text,
            "score": one.score,
            "missed": suite_params.missed(one),
        }
        for prompt, answer, one in zip(params["prompts"], said, scored, strict=True)
    ]
    return {**scoring.suite(scored)._asdict(), "rows": rows}


def summary(facts: Facts) -> str:
    return ", ".join(
        f"{name} {suite['base']['score']:.2f} → {suite['tuned']['score']:.2f}"
        for name, suite in facts["suites"].items()
    )

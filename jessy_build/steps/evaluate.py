"""evaluate: the same prompts asked of base and tuned model in the same runtime, side by side.

Those of suites are asked here, too; `score` says what their answers are worth. So another rule asks
nothing again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import chat
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.example import Message
from jessy_build.plan.step import Step
from jessy_build.recipe import suites
from jessy_build.steps import gguf, items, suite_params

if TYPE_CHECKING:
    from jessy_build.recipe.files import EvalPrompt
    from jessy_build.recipe.load import LoadedRecipe

name = "evaluate"
version = 1
holds = always

SUITES = "suites.jsonl"
"""What was answered to the prompts of suites."""


def expand(loaded: "LoadedRecipe") -> list[Step]:
    evaluate = loaded.recipe.evaluate
    if evaluate is None:
        return []
    params = {
        "prompts": [asdict(prompt) for prompt in loaded.evaluate_prompts],
        "max_tokens": evaluate.max_tokens,
        "kind": loaded.recipe.export.gguf,
        "system": loaded.system,
    }
    if evaluate.suites:
        params["suites"] = _suite_questions(loaded)
    needs = {"base": "convert", "tuned": "gguf", "template": gguf.template(loaded.recipe)}
    about = {
        "evaluate.prompts": [said_of(prompt) for prompt in loaded.evaluate_prompts],
        "evaluate.max_tokens": evaluate.max_tokens,
        "export.gguf": loaded.recipe.export.gguf,
        **items.about_system(loaded),
        **suite_params.about_questions(suites.of(loaded.recipe)),
    }
    span = loaded.span_of("evaluate")
    return [Step(name, name, version, params, needs, "gpu", span, about=about)]


def said_of(prompt: "EvalPrompt") -> Any:
    """As it stands in the recipe or in its file."""
    said = {word: value for word, value in asdict(prompt).items() if value is not None}
    return prompt.prompt if len(said) == 1 else said


def _suite_questions(loaded: "LoadedRecipe") -> list[list[Any]]:
    """Prompt and limit of tokens, each pair once, whichever suites ask it."""
    pairs = [
        (prompt.prompt, suite.max_tokens)
        for suite in suites.of(loaded.recipe)
        for prompt in suite.prompts
    ]
    return [list(pair) for pair in dict.fromkeys(pairs)]


class _Question(NamedTuple):
    prompt: str
    max_tokens: int


def _questions(params: Mapping[str, Any]) -> list[_Question]:
    """Those to be read side by side, then those of suites."""
    read = [_Question(prompt["prompt"], params["max_tokens"]) for prompt in params["prompts"]]
    return [*read, *(_Question(*pair) for pair in params.get("suites", ()))]


def run(job: Job) -> Facts:
    talk = chat.Chat.load(job.inputs["template"])
    tuned = job.inputs["tuned"] / gguf.FILE
    adapter = gguf.adapter(job.inputs["tuned"])
    answers = {
        "base": _ask(job, "base", tuned if adapter else _base(job), talk),
        "tuned": _ask(job, "tuned", tuned, talk, adapter),
    }
    prompts = job.step.params["prompts"]
    rows = [
        {**prompt, "base": answers["base"][i], "tuned": answers["tuned"][i]}
        for i, prompt in enumerate(prompts)
    ]
    # Times are facts: the answers alone make the artifact.
    texts = [{**row, "base": row["base"]["text"], "tuned": row["tuned"]["text"]} for row in rows]
    _write(job.out / "answers.jsonl", texts)
    if "suites" in job.step.params:
        _write(job.out / SUITES, _of_suites(job.step.params["suites"], answers, len(prompts)))
    told = {who: _middle(found[: len(prompts)] or found) for who, found in answers.items()}
    return {"rows": rows, **told}


def _of_suites(
    asked: Sequence[Sequence[Any]], answers: Mapping[str, Sequence[Mapping[str, Any]]], before: int
) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "max_tokens": limit}
        | {
            who: {"text": found[i]["text"], "ended": found[i]["stopped"]}
            for who, found in answers.items()
        }
        for i, (prompt, limit) in enumerate(asked, start=before)
    ]


def _write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8")


def _base(job: Job) -> Path:
    """Written the same way as the tuned model, so that the times compare. And always anew: nobody
    vouches for what an earlier try has left in the scratch folder."""
    from jessy_build.packaging import gguf_write

    base = job.work / "base.gguf"
    gguf_write.write(job.inputs["base"], base, kind=job.step.params["kind"], name="base")
    return base


def _ask(
    job: Job, who: str, model: Path, talk: "chat.Chat", adapter: Path | None = None
) -> list[dict[str, Any]]:
    from jessy_build.runtimes import llamacpp

    questions = _questions(job.step.params)
    offset = 0 if who == "base" else len(questions)
    answers = []
    with llamacpp.open(model, talk.stops, adapter=adapter) as runtime:
        runtime.ask(talk.render((Message("user", "."),), generate=True), 1)  # the first one loads
        for number, (prompt, max_tokens) in enumerate(questions, start=1):
            if job.cancelled():
                raise KeyboardInterrupt
            text = talk.render(_messages(prompt, job.step.params["system"]), generate=True)
            answers.append(asdict(runtime.ask(text, max_tokens)))
            job.progress(offset + number, 2 * len(questions), "answers", who)
    return answers


def _messages(prompt: str, system: str | None) -> tuple[Message, ...]:
    user = Message("user", prompt)
    return (Message("system", system), user) if system else (user,)


def _middle(answers: list[dict[str, Any]]) -> dict[str, Any]:
    from statistics import median

    return {
        "tokens": median(a["tokens"] for a in answers),
        "seconds": median(a["seconds"] for a in answers),
        "stopped": sum(a["stopped"] for a in answers),
        "answers": len(answers),
    }


def summary(facts: Facts) -> str:
    base, tuned = facts["base"], facts["tuned"]
    return (
        f"median answer {base['tokens']:.0f} → {tuned['tokens']:.0f} tokens,"
        f" {base['seconds']:.1f} → {tuned['seconds']:.1f} s"
    )

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
from jessy_build.steps import gguf, items, recorded, suite_params

if TYPE_CHECKING:
    from jessy_build.evaluators.rules import Said
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


def run(job: Job) -> Facts:
    talk = chat.Chat.load(job.inputs["template"])
    answers = {who: _answers(job, model, talk) for who, model in _models(job).items()}
    rows = [
        {**prompt, **{who: found.read[i] for who, found in answers.items()}}
        for i, prompt in enumerate(job.step.params["prompts"])
    ]
    # Times are facts: the answers alone make the artifact.
    texts = [{**row, "base": row["base"]["text"], "tuned": row["tuned"]["text"]} for row in rows]
    _write(job.out / "answers.jsonl", texts)
    if "suites" in job.step.params:
        _write(job.out / SUITES, _of_suites(job.step.params["suites"], answers))
    middles = {who: _middle(found.read) for who, found in answers.items() if found.read}
    return {"rows": rows, "suites": len(answers["tuned"].suites), **middles}


class _Model(NamedTuple):
    who: str
    file: Path
    adapter: Path | None
    weights: Mapping[str, Any]
    """Digests that tell it from all others."""


def _models(job: Job) -> dict[str, _Model]:
    made = recorded.digests(job.made["tuned"])
    whole, adapter = job.inputs["tuned"] / gguf.FILE, gguf.adapter(job.inputs["tuned"])
    if adapter:
        base = _Model("base", whole, None, {gguf.FILE: made[gguf.FILE]})
    else:
        written = [job.step.params["kind"], gguf.version]
        weights = {"converted": recorded.digests(job.made["base"]), "written": written}
        base = _Model("base", _base(job), None, weights)
    return {"base": base, "tuned": _Model("tuned", whole, adapter, made)}


class _Answers(NamedTuple):
    read: list[dict[str, Any]]
    """To the prompts that are read side by side; with the time each took."""
    suites: "list[Said]"
    """To the prompts of suites, which are scored."""


def _answers(job: Job, model: _Model, talk: "chat.Chat") -> _Answers:
    from jessy_build.runtimes import llamacpp

    params = job.step.params
    found = _Answers([], [])
    who = recorded.model("llama.cpp", model.weights)
    total = len(params["prompts"]) + len(params.get("suites", ()))
    before = 0 if model.who == "base" else total

    def told() -> None:
        done = before + len(found.read) + len(found.suites)
        job.progress(done, 2 * total, "answers", model.who)
        if job.cancelled():
            raise KeyboardInterrupt

    with llamacpp.open(model.file, talk.stops, adapter=model.adapter) as runtime:
        runtime.ask(talk.render((Message("user", "."),), generate=True), 1)  # the first one loads
        for prompt in params["prompts"]:
            text = talk.render(asked(prompt["prompt"], params["system"]), generate=True)
            found.read.append(asdict(runtime.ask(text, params["max_tokens"])))
            told()
        for prompt, max_tokens in params.get("suites", ()):
            text = talk.render(asked(prompt, params["system"]), generate=True)
            reply = recorded.reply(job.answers, who, text, max_tokens, runtime.ask)
            found.suites.append(suite_params.said(reply))
            told()
    return found


def asked(prompt: str, system: str | None) -> tuple[Message, ...]:
    """A prompt by itself, as every answer that is evaluated is asked for."""
    user = Message("user", prompt)
    return (Message("system", system), user) if system else (user,)


def _of_suites(
    questions: Sequence[Sequence[Any]], answers: Mapping[str, _Answers]
) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "max_tokens": limit}
        | {who: found.suites[i]._asdict() for who, found in answers.items()}
        for i, (prompt, limit) in enumerate(questions)
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


def _middle(answers: list[dict[str, Any]]) -> dict[str, Any]:
    from statistics import median

    return {
        "tokens": median(a["tokens"] for a in answers),
        "seconds": median(a["seconds"] for a in answers),
        "stopped": sum(a["stopped"] for a in answers),
        "answers": len(answers),
    }


def summary(facts: Facts) -> str:
    told = [f"{facts['suites']} prompts of suites"] if facts.get("suites") else []
    if facts["rows"]:
        base, tuned = facts["base"], facts["tuned"]
        told.insert(
            0,
            f"median answer {base['tokens']:.0f} → {tuned['tokens']:.0f} tokens,"
            f" {base['seconds']:.1f} → {tuned['seconds']:.1f} s",
        )
    return ", ".join(told)

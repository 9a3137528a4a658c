"""select: of the adapters that a training kept, the one whose answers to a suite score best.

An answer is on record once it is given, by the weights that gave it: a suite with one prompt more
asks one prompt more, one with another rule asks nothing, and a kill loses one answer.
"""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import digest
from jessy_build.chat import Chat
from jessy_build.engine.answers import Answer
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.evaluators import scoring
from jessy_build.evaluators.rules import Said
from jessy_build.example import Message, Reply, Request, Usage
from jessy_build.plan.step import Step
from jessy_build.recipe import suites
from jessy_build.steps import items, suite_params
from jessy_build.trainers.config import BySuite

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Recipe

name = "select"
version = 1
holds = always


def expand(loaded: "LoadedRecipe") -> list[Step]:
    keep = loaded.recipe.train.keep
    if not isinstance(keep, BySuite):
        return []
    suite = suites.named(loaded.recipe, keep.suite)
    params = {"suite": suite_params.of(loaded, suite), "system": loaded.system}
    needs = {"base": "convert", "kept": "train"}
    about = {
        "train.keep.suite": keep.suite,
        **suite_params.about(loaded, (suite,)),
        **items.about_system(loaded),
    }
    span = loaded.span_of("train.keep")
    return [Step(name, name, version, params, needs, "gpu", span, about=about)]


def adapter(recipe: "Recipe") -> str:
    """The step that makes the adapter which is fused and served."""
    return name if isinstance(recipe.train.keep, BySuite) else "train"


class Candidate(NamedTuple):
    step: int
    loss: float | None
    """On the validation rows."""
    score: float
    passed: int
    """Prompts of whose answers all holds that was expected."""
    answers: tuple[Mapping[str, Any], ...]
    """In the order of the prompts: what was said, and what is wrong with it."""


def run(job: Job) -> Facts:
    kept = job.made["kept"].facts["kept"]
    prompts = job.step.params["suite"]["prompts"]
    asking = _Asking(job, Chat.load(job.inputs["base"]), len(kept) * len(prompts))
    found = [_candidate(job, asking, one) for one in kept]
    first = min(found, key=_order)
    for file in _folder(job, first.step).iterdir():
        shutil.copyfile(file, job.out / file.name)
    return {
        "best": {"step": first.step, "loss": first.loss},
        "prompts": len(prompts),
        "candidates": [candidate._asdict() for candidate in found],
    }


def _order(candidate: Candidate) -> tuple[float, float, int]:
    """Of two with one score the one with the lower loss, and then the earlier one."""
    loss = float("inf") if candidate.loss is None else candidate.loss
    return (-candidate.score, loss, candidate.step)


def _candidate(job: Job, asking: "_Asking", kept: Mapping[str, Any]) -> Candidate:
    answers = asking.of(_folder(job, kept["step"]), kept["step"])
    scored = suite_params.scored(job.step.params["suite"], answers)
    score, passed, _ = scoring.suite(scored)
    told = [
        {"text": said.text, "ended": said.ended, "missed": suite_params.missed(one)}
        for said, one in zip(answers, scored, strict=True)
    ]
    return Candidate(kept["step"], kept["loss"], score, passed, tuple(told))


def _folder(job: Job, step: int) -> Path:
    from jessy_build.trainers.lora import KEPT

    return job.inputs["kept"] / KEPT / str(step)


class _Asking:
    """Greedy answers of adapters, in MLX as in training."""

    def __init__(self, job: Job, talk: Chat, total: int) -> None:
        self.job = job
        self.talk = talk
        self.total = total
        self.done = 0

    def of(self, adapter: Path, step: int) -> list[Said]:
        """The model is loaded only where an answer of it is not on record."""
        from jessy_build.runtimes import mlx

        model = self._name(adapter)
        answers = []
        with ExitStack() as opened:
            runtime: mlx.Mlx | None = None
            for prompt in self.job.step.params["suite"]["prompts"]:
                if self.job.cancelled():
                    raise KeyboardInterrupt
                request = self._request(model, prompt["prompt"])
                known = self.job.answers.one(request.stem, request.sample, request.attempt)
                if known is None:
                    runtime = runtime or opened.enter_context(
                        mlx.open(self.job.inputs["base"], adapter)
                    )
                reply = Reply.of(known.reply) if known else self._ask(runtime, request)
                answers.append(Said(reply.text, reply.stop == "end"))
                self.done += 1
                self.job.progress(self.done, self.total, "answers", f"of step {step}")
        return answers

    def _name(self, adapter: Path) -> str:
        """Of the weights that answer, which no other model has."""
        files = {file.name: digest.of_file(file) for file in sorted(adapter.iterdir())}
        base = {path: sha256 for path, (sha256, _) in self.job.made["base"].tree.items()}
        return digest.of_value({"adapter": files, "base": base})

    def _request(self, model: str, prompt: str) -> Request:
        system, limit = self.job.step.params["system"], self.job.step.params["suite"]["max_tokens"]
        user = Message("user", prompt)
        messages = (Message("system", system), user) if system else (user,)
        # Where an answer was cut off is part of it here: it is not asked to be whole.
        return Request("kept", model, messages, limit, {"max_tokens": limit})

    def _ask(self, runtime: Any, request: Request) -> Reply:
        text = self.talk.render(request.messages, generate=True)
        said = runtime.ask(text, request.max_tokens)
        reply = Reply(
            said.text,
            "end" if said.stopped else "length",
            Usage(output_tokens=said.tokens),
            said.seconds,
            request.model,
            request.digest,
        )
        answer = Answer(request.stem, request.sample, request.attempt, said.stopped, reply.plain)
        self.job.answers.add([answer], {request.stem: request.question})
        return reply


def chosen(facts: Facts) -> Mapping[str, Any]:
    return next(one for one in facts["candidates"] if one["step"] == facts["best"]["step"])


def best(made: Mapping[str, Facts]) -> Mapping[str, Any]:
    """Step and validation loss of the adapter that became the result, from the facts of a build."""
    found: Mapping[str, Any] = made[name if name in made else "train"]["best"]
    return found


def summary(facts: Facts) -> str:
    picked = chosen(facts)
    return (
        f"step {picked['step']} of {len(facts['candidates'])} kept, score {picked['score']:.2f},"
        f" {picked['passed']} of {facts['prompts']} prompts as expected"
    )

"""select: of the adapters that a training kept, the one whose answers to a suite score best.

A suite with one prompt more asks one prompt more, and one with another rule asks nothing.
"""

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import chat
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.recipe import suites
from jessy_build.steps import evaluate, items, recorded, suite_params
from jessy_build.trainers.config import BySuite

if TYPE_CHECKING:
    from jessy_build.evaluators.rules import Said
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
    asking = _Asking(job, chat.Chat.load(job.inputs["base"]), len(kept) * len(prompts))
    found = [_candidate(job, asking, one) for one in kept]
    first = min(found, key=_order)
    for file in (job.inputs["kept"] / _below(first.step)).iterdir():
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
    from jessy_build.evaluators import scoring

    answers = asking.of(kept["step"])
    scored = suite_params.scored(job.step.params["suite"], answers)
    score, passed, _ = scoring.suite(scored)
    told = [
        {"text": said.text, "ended": said.ended, "missed": suite_params.missed(one)}
        for said, one in zip(answers, scored, strict=True)
    ]
    return Candidate(kept["step"], kept["loss"], score, passed, tuple(told))


def _below(step: int) -> str:
    """Where it lies in what the training made."""
    from jessy_build.trainers.lora import KEPT

    return f"{KEPT}/{step}"


class _Asking:
    """Greedy answers of adapters, in MLX as in training."""

    def __init__(self, job: Job, talk: "chat.Chat", total: int) -> None:
        self.job = job
        self.talk = talk
        self.total = total
        self.done = 0

    def of(self, step: int) -> "list[Said]":
        suite, system = self.job.step.params["suite"], self.job.step.params["system"]
        texts = [
            self.talk.render(evaluate.asked(prompt["prompt"], system), generate=True)
            for prompt in suite["prompts"]
        ]

        def told(done: int) -> None:
            self.job.progress(self.done + done, self.total, "answers", f"of step {step}")
            if self.job.cancelled():
                raise KeyboardInterrupt

        adapter = self.job.inputs["kept"] / _below(step)
        answers, who, limit = self.job.answers, self._model(step), suite["max_tokens"]
        with recorded.opened(self.job.inputs["base"], adapter) as ask:
            replies = recorded.replies(answers, who, texts, limit, ask, told)
        self.done += len(texts)
        return list(map(suite_params.said, replies))

    def _model(self, step: int) -> recorded.Model:
        made = self.job.made
        adapter = recorded.digests(made["kept"], f"{_below(step)}/")
        return recorded.model("mlx", {"adapter": adapter, "base": recorded.digests(made["base"])})


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

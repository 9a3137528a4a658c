"""A suite as parameters of the steps that ask and score it: all that decides a score, and no more.

A suite's name and description, the language and the level of a prompt are not in it: what they
bring about is (`same`, `level`). So a suite can be renamed, and a prompt labelled, for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jessy_build.evaluators import scoring
from jessy_build.evaluators.rules import Said
from jessy_build.evaluators.scoring import Scored
from jessy_build.recipe import suites

if TYPE_CHECKING:
    from jessy_build.evaluators.config import Suite
    from jessy_build.recipe.load import LoadedRecipe


def of(loaded: "LoadedRecipe", suite: "Suite") -> dict[str, Any]:
    levels = loaded.recipe.complexity
    return {
        "max_tokens": suite.max_tokens,
        "prompts": [
            {"prompt": prompt.prompt, "expect": suites.expected(suite, prompt, levels)}
            for prompt in suite.prompts
        ],
    }


def about(suite: "Suite") -> dict[str, Any]:
    """In the words of the recipe, prompt by prompt."""
    said = suite.model_dump(mode="json", exclude_unset=True, exclude={"name", "description"})
    prompts = {one["prompt"]: _besides(one) for one in said["prompts"]}
    return {f"evaluate.suites.{suite.name}": {**said, "prompts": prompts}}


def _besides(prompt: Mapping[str, Any]) -> Any:
    return {name: value for name, value in prompt.items() if name != "prompt"} or True


def scored(params: Mapping[str, Any], answers: Sequence[Said]) -> list[Scored]:
    """`answers` in the order of the suite's prompts."""
    return [
        scoring.answer(said, prompt["expect"])
        for said, prompt in zip(answers, params["prompts"], strict=True)
    ]


def missed(one: Scored) -> list[str]:
    """In words, for the facts of a step."""
    return [f"{rule}: {problem}" for rule, problem in one.missed]

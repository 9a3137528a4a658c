"""A suite as parameters of the steps that ask and score it: all that decides a score, and no more.

A suite's name and description, the language and the level of a prompt are not in it: what they
bring about is (`same`, `level`). So a suite can be renamed, and a prompt labelled, for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jessy_build.evaluators.config import LEVEL
from jessy_build.example import Reply
from jessy_build.recipe import suites

if TYPE_CHECKING:
    from jessy_build.evaluators.config import Suite
    from jessy_build.evaluators.rules import Said
    from jessy_build.evaluators.scoring import Scored
    from jessy_build.recipe.load import LoadedRecipe


RULES_READ = {"expect", "language", "complexity"}
"""Of a prompt, what only its score hangs on."""


def of(loaded: "LoadedRecipe", suite: "Suite") -> dict[str, Any]:
    levels = loaded.recipe.complexity
    return {
        "max_tokens": suite.max_tokens,
        "prompts": [
            {"prompt": prompt.prompt, "expect": suites.expected(suite, prompt, levels)}
            for prompt in suite.prompts
        ],
    }


def about(loaded: "LoadedRecipe", found: Sequence["Suite"]) -> dict[str, Any]:
    """In the words of the recipe, prompt by prompt, and how many words the levels allow that say
    how long an answer may be."""
    levels = {
        str(prompt.complexity)
        for suite in found
        for prompt in suite.prompts
        if LEVEL in (prompt.expect.words or suite.expect.words,)
    }
    spec = loaded.recipe.complexity
    words = {level: {"words": list(spec[level].words)} for level in sorted(levels)}
    return {**_told(found, {}), **({"complexity": words} if words else {})}


def about_questions(found: Sequence["Suite"]) -> dict[str, Any]:
    """Without what is expected of the answers."""
    return _told(found, {"expect": True, "prompts": {"__all__": RULES_READ}})


def _told(found: Sequence["Suite"], left_out: Mapping[str, Any]) -> dict[str, Any]:
    exclude: Any = {"description": True, **left_out}
    said = [suite.model_dump(mode="json", exclude_unset=True, exclude=exclude) for suite in found]
    return {f"evaluate.suites.{name}": block for name, block in by_name(said).items()}


def by_name(written: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Suites by their names and their prompts by what is asked, so that each is told by itself."""
    return {
        suite["name"]: {
            **_without(suite, "name"),
            "prompts": {
                one["prompt"]: _without(one, "prompt") or one["prompt"] for one in suite["prompts"]
            },
        }
        for suite in written
    }


def _without(block: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != field}


def said(reply: Reply) -> "Said":
    from jessy_build.evaluators.rules import Said

    return Said(reply.text, reply.stop == "end")


def scored(params: Mapping[str, Any], answers: "Sequence[Said]") -> "list[Scored]":
    """`answers` in the order of the suite's prompts."""
    from jessy_build.evaluators import scoring

    return [
        scoring.answer(said, prompt["expect"])
        for said, prompt in zip(answers, params["prompts"], strict=True)
    ]


def missed(one: "Scored") -> list[str]:
    """In words, for the facts of a step."""
    return [f"{rule}: {problem}" for rule, problem in one.missed]

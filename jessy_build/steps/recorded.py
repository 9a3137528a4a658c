"""Greedy answers of models that stand on this machine, on record by the weights that gave them.

The same weights give the same answer, so each is asked once by all builds of a store, and a kill
loses none. Where it counts how long an answer takes, nothing here is of use.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import digest
from jessy_build.engine.answers import Answer, Answers
from jessy_build.engine.ledger import Artifact
from jessy_build.example import Message, Reply, Request, Usage

if TYPE_CHECKING:
    from jessy_build.evaluators.rules import Said
    from jessy_build.runtimes import mlx
    from jessy_build.runtimes.answer import Answer as Answered

Ask = Callable[[str, int], "Answered"]
"""Given the text of a prompt, template and all, and the most tokens of its answer."""


class Model(NamedTuple):
    """Who answers."""

    program: str
    """Two programs round in other ways, so the same weights may say something else."""
    weights: str
    """A digest that no other weights have."""


def model(program: str, weights: Mapping[str, Any]) -> Model:
    """`weights` are digests of files, by any names."""
    return Model(program, digest.of_value(weights))


def digests(made: Artifact, below: str = "") -> dict[str, str]:
    """Of its files, or of those in one of its folders."""
    return {path: sha256 for path, (sha256, _) in made.tree.items() if path.startswith(below)}


@contextmanager
def opened(model: Path, adapter: Path | None = None) -> Iterator[Ask]:
    """In MLX, which loads the model once it is asked something."""
    from jessy_build.runtimes import mlx

    with ExitStack() as stack:

        @cache
        def runtime() -> "mlx.Mlx":
            return stack.enter_context(mlx.open(model, adapter))

        yield lambda text, max_tokens: runtime().ask(text, max_tokens)


def said(answers: Answers, who: Model, text: str, max_tokens: int, ask: Ask) -> "Said":
    """As suites are scored."""
    from jessy_build.evaluators.rules import Said

    found = reply(answers, who, text, max_tokens, ask)
    return Said(found.text, found.stop == "end")


def reply(answers: Answers, who: Model, text: str, max_tokens: int, ask: Ask) -> Reply:
    """`ask` is called only where there is no such answer yet."""
    # Where an answer is cut off is part of the question: nobody asks for it to be whole.
    request = Request(
        *who, (Message("user", text),), max_tokens, {"max_tokens": max_tokens, "raw": True}
    )
    known = answers.one(request.stem, request.sample, request.attempt)
    return Reply.of(known.reply) if known else _asked(answers, request, ask(text, max_tokens))


def _asked(answers: Answers, request: Request, answered: "Answered") -> Reply:
    reply = Reply(
        answered.text,
        "end" if answered.stopped else "length",
        Usage(output_tokens=answered.tokens),
        answered.seconds,
        request.model,
        request.digest,
    )
    row = Answer(request.stem, request.sample, request.attempt, answered.stopped, reply.plain)
    answers.add([row], {request.stem: request.question})
    return reply

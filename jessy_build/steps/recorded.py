"""Greedy answers of models that stand on this machine, on record by the weights that gave them.

The same weights give the same answer, so each is asked once by all builds of a store, and a kill
loses none. Where it counts how long an answer takes, nothing here is of use.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import digest
from jessy_build.engine.answers import Answer, Answers
from jessy_build.engine.ledger import Artifact
from jessy_build.example import Message, Reply, Request, Usage

if TYPE_CHECKING:
    from jessy_build.runtimes import mlx
    from jessy_build.runtimes.answer import Answer as Answered

Ask = Callable[[str, int], "Answered"]
"""Given the text of a prompt, template and all, and the most tokens of its answer."""
AskTogether = Callable[[Sequence[str], int], Iterable[tuple[int, "Answered"]]]
"""Given several: each answer as it ends, with the place of its prompt."""
Told = Callable[[int], None]

TOGETHER = 8
"""So many prompts are asked at once, and their answers go on record at once. What is decoded
together is rounded together: so a build that was killed says what it would have said."""


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
def opened(model: Path, adapter: Path | None = None) -> Iterator[AskTogether]:
    """In MLX, which loads the model once it is asked something."""
    from jessy_build.runtimes import mlx

    with ExitStack() as stack:

        @cache
        def runtime() -> "mlx.Mlx":
            return stack.enter_context(mlx.open(model, adapter))

        yield lambda texts, max_tokens: runtime().ask_together(texts, max_tokens)


def reply(answers: Answers, who: Model, text: str, max_tokens: int, ask: Ask) -> Reply:
    """`ask` is called only where there is no such answer yet."""
    request = _request(who, text, max_tokens)
    return _known(answers, request) or _kept(answers, [(request, ask(text, max_tokens))])[0]


def replies(
    answers: Answers,
    who: Model,
    texts: Sequence[str],
    max_tokens: int,
    ask: AskTogether,
    told: Told,
) -> list[Reply]:
    """`ask` is called only with texts to which there is no answer yet. `told` hears how many there
    are, each time one more is given; whatever it raises ends the asking."""
    requests = [_request(who, text, max_tokens) for text in texts]
    found = {one.stem: known for one in requests if (known := _known(answers, one))}
    missing = list({one.stem: one for one in requests if one.stem not in found}.values())
    for start in range(0, len(missing), TOGETHER):
        group = missing[start : start + TOGETHER]
        told(len(found))
        said: dict[int, Answered] = {}
        for place, answered in ask([one.messages[0].content for one in group], max_tokens):
            said[place] = answered
            told(len(found) + len(said))
        kept = _kept(answers, [(one, said[place]) for place, one in enumerate(group)])
        found |= {one.stem: reply for one, reply in zip(group, kept, strict=True)}
    told(len(texts))
    return [found[one.stem] for one in requests]


def _request(who: Model, text: str, max_tokens: int) -> Request:
    # Where an answer is cut off is part of the question: nobody asks for it to be whole.
    return Request(
        *who, (Message("user", text),), max_tokens, {"max_tokens": max_tokens, "raw": True}
    )


def _known(answers: Answers, request: Request) -> Reply | None:
    known = answers.one(request.stem, request.sample, request.attempt)
    return Reply.of(known.reply) if known else None


def _kept(answers: Answers, given: "Sequence[tuple[Request, Answered]]") -> list[Reply]:
    """All of them, or none."""
    made = [
        Reply(
            answered.text,
            "end" if answered.stopped else "length",
            Usage(output_tokens=answered.tokens),
            answered.seconds,
            request.model,
            request.digest,
        )
        for request, answered in given
    ]
    rows = [
        Answer(request.stem, request.sample, request.attempt, answered.stopped, reply.plain)
        for (request, answered), reply in zip(given, made, strict=True)
    ]
    answers.add(rows, {request.stem: request.question for request, _ in given})
    return made

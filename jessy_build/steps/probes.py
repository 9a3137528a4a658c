"""Prompts of the training itself, which a model is asked to see whether it still is what was
trained. They are drawn from the rows alone: nothing else of a recipe moves them."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.parity import survival
from jessy_build.parity.survival import Probe, Said, Verdict

FILE = "probes.json"
COUNT = 12
ANSWER_TOKENS = 32
PLACES = 6
"""Of each answer, the first ones: what comes later follows from them."""


class Asked(Protocol):
    """A runtime that serves a model."""

    def ask(self, prompt: str, max_tokens: int) -> Any: ...
    def likelihood(self, prompt: str, token: str) -> float | None: ...


def drawn(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Some rows of each category and level in turn, each by its own lot: rows that are added move
    few of them."""
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: digest.of_value(["probe", row["id"]])):
        cells[row["category"], row["complexity"]].append(row)
    most = max(map(len, cells.values()), default=0)
    turns = [cells[cell][n] for n in range(most) for cell in sorted(cells) if n < len(cells[cell])]
    return turns[:COUNT]


def asked_first(row: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The messages up to the first answer."""
    messages: list[Mapping[str, str]] = row["messages"]
    until = next(i for i, message in enumerate(messages) if message["role"] == "assistant")
    return messages[:until]


def saved(folder: Path) -> tuple[Probe, ...]:
    return survival.read(json.loads((folder / FILE).read_text("utf-8")))


def judge(
    probes: Sequence[Probe], model: Asked, step: Callable[[int], None] = lambda done: None
) -> Verdict:
    """`step` is told how many probes were asked."""
    said: list[Said] = []
    likelihood: list[list[float | None]] = []
    for number, probe in enumerate(probes, start=1):
        answer = model.ask(probe.prompt, ANSWER_TOKENS)
        said.append(Said(answer.text, answer.tokens, answer.stopped))
        likelihood.append(
            [model.likelihood(probe.prompt + place.before, place.token) for place in probe.places]
        )
        step(number)
    return _verdict(probes, said, likelihood)


def measures(probes: Sequence[Probe], base: Sequence[Said], kind: str) -> list[dict[str, Any]]:
    """What kinds of smaller weights are read against: the base, whose own answers these are, and
    the trained model."""
    plain = _verdict(probes, base, [[place.base for place in probe.places] for probe in probes])
    answers = [probe.answer for probe in probes]
    trained = [[place.trained for place in probe.places] for probe in probes]
    return [as_facts("base", plain), as_facts(kind, _verdict(probes, answers, trained))]


def _verdict(
    probes: Sequence[Probe], said: Sequence[Said], likelihood: Sequence[Sequence[float | None]]
) -> Verdict:
    tongues = [
        (tongue(probe.answer.text), tongue(one.text))
        for probe, one in zip(probes, said, strict=True)
    ]
    return survival.verdict(probes, said, likelihood, tongues)


def tongue(text: str) -> str:
    """'' where a text is clearly of neither language, as one of three words may be."""
    from jessy_build.speech import tongue as tongues

    counted = tongues.words(text)
    if counted.tr == counted.en:
        return ""
    return "tr" if counted.tr > counted.en else "en"


def as_facts(model: str, verdict: Verdict) -> dict[str, Any]:
    """A line of the table in the report."""
    from dataclasses import asdict

    return {"model": model, **asdict(verdict), "survived": verdict.survived}


def erased(kind: str, verdict: Verdict, *, hint: str) -> StepError:
    kept = "" if verdict.kept is None else f", and {max(0, verdict.kept):.0%} of what it learned"
    return StepError(
        f"{kind} erases what was trained: of {verdict.answers} answers to training prompts"
        f" {verdict.alike} still end as they should{kept} is left",
        hint=hint,
    )

"""No two rows ask nearly the same, and none asks what the evaluation will ask.

Questions are compared, answers are not: that many questions get one short answer is what a persona
is trained for. What is the same to the letter is the matter of `duplicates`, whose normal form is
used here too; but a row that asks an evaluation prompt, whether to the letter or nearly, is always
told, unless the prompt says that it was trained on (`seen: true`). All rows are compared before any
is held out, so that nothing in the validation rows stands in the training rows as well.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jessy_build.example import Example
from jessy_build.validators import minhash
from jessy_build.validators.duplicates import normal, texts
from jessy_build.validators.finding import Finding, Limits, error, excerpt

RULE = "near_duplicate"


class Closest(NamedTuple):
    """A row, or a prompt, by its number, and which share is alike."""

    row: int
    share: float


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    """The first of several stays; each later one is a finding."""
    if limits.near_duplicate is None:
        return
    yield from _asked_by_the_evaluation(examples, limits.prompts, limits.near_duplicate)
    yield from _asked_before(examples, limits.near_duplicate)


def _asked_before(examples: Sequence[Example], least: float) -> Iterator[Finding]:
    first: dict[str, int] = {}
    """The row that asks a question first, by the question. Equal ones are compared once."""
    rows = []
    for row, example in enumerate(examples):
        question = " ".join(normal(text, example.language) for text in texts(example, "user"))
        rows.append(first.setdefault(question, row))
    closest = _closest([*first], [*first.values()], least)
    for example, row in zip(examples, rows, strict=True):
        if row in closest:
            before, much = closest[row]
            yield error(example, RULE, _told(examples[before], example, much))


def _closest(questions: Sequence[str], rows: Sequence[int], least: float) -> Mapping[int, Closest]:
    """Of each row that asks nearly what earlier ones ask, the closest of those that stay."""
    alike: dict[int, list[Closest]] = defaultdict(list)
    for earlier, later, much in minhash.pairs(questions, least):
        alike[rows[later]].append(Closest(rows[earlier], much))
    closest: dict[int, Closest] = {}
    for row in sorted(alike):
        staying = [pair for pair in alike[row] if pair.row not in closest]
        if staying:
            closest[row] = max(staying, key=lambda pair: (pair.share, -pair.row))
    return closest


def _told(before: Example, example: Example, much: float) -> str:
    here, there = (" / ".join(texts(row, "user")) for row in (example, before))
    return (
        f"asks nearly the same as {before.origin.source} ({_percent(much)} alike):"
        f" {excerpt(here)} here, {excerpt(there)} there"
    )


def _asked_by_the_evaluation(
    examples: Sequence[Example], prompts: Sequence[str], least: float
) -> Iterator[Finding]:
    if not prompts:
        return
    tests = _Tests(prompts, least)
    for example in examples:
        asked = (tests.closest(normal(turn, example.language)) for turn in texts(example, "user"))
        if found := next(filter(None, asked), None):
            nearly = "" if found.share == 1 else f" nearly ({_percent(found.share)} alike)"
            prompt = excerpt(prompts[found.row])
            yield error(example, RULE, f"asks{nearly} what evaluate.prompts asks: {prompt}")


class _Tests:
    """The evaluation prompts by their rarest pieces: they are few, so that none need be missed.

    Texts of which a share is the same have one of their rarest pieces in common, as many of them
    as may differ and one more (the prefix filter of Bayardo et al. 2007).
    """

    def __init__(self, prompts: Sequence[str], least: float) -> None:
        self.least = least
        # As Turkish and as other languages read a capital I.
        forms = [(normal(p, tongue), n) for n, p in enumerate(prompts) for tongue in ("tr", "")]
        self.common = Counter(piece for form, _ in forms for piece in minhash.pieces(form))
        self.by_piece: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for form in dict.fromkeys(forms):
            for piece in self._rarest(form[0]):
                self.by_piece[piece].append(form)

    def closest(self, text: str) -> Closest | None:
        worth = {form for piece in self._rarest(text) for form in self.by_piece.get(piece, ())}
        found = [Closest(prompt, minhash.alike(form, text)) for form, prompt in worth]
        close = [one for one in found if one.share >= self.least]
        return max(close, key=lambda one: (one.share, -one.row), default=None)

    def _rarest(self, text: str) -> list[str]:
        pieces = minhash.pieces(text)
        may_differ = len(pieces) - math.ceil(self.least * len(pieces))
        if may_differ < len(strange := pieces - self.common.keys()):
            # All of its rarest pieces are in no prompt at all.
            return []
        known = sorted(pieces - strange, key=lambda piece: (self.common[piece], piece))
        return known[: may_differ + 1 - len(strange)]


def _percent(share: float) -> str:
    return f"{int(100 * share)} %"

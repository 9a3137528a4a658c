"""What was asked in a cell already, shown to its teacher so that it asks something else.

Rows come in rounds: one reads the questions of all rows of its cell in earlier rounds. So the same
answers show the same, however many are asked at once and however often a build was killed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol, TypeVar

from jessy_build import teachers
from jessy_build.engine.answers import Answers
from jessy_build.example import Request
from jessy_build.steps.items import Cell, Questions

MOST = 60
"""Questions that are shown, the newest of them: each costs its tokens in every row."""


class Item(Protocol):
    @property
    def ordinal(self) -> int: ...


T = TypeVar("T", bound=Item)


def rounds(questions: Questions, wanted: Sequence[T]) -> Iterator[Sequence[T]]:
    """What may be asked together, in order; all at once where nothing is shown."""
    if questions.round is None:
        yield wanted
        return
    size = questions.round

    def number(item: T) -> int:
        return item.ordinal // size

    for _, some in groupby(sorted(wanted, key=number), key=number):
        yield list(some)


LONG = "x" * 200
"""A question, where nobody knows yet what it will be."""


def at_most(questions: Questions, cell: Cell, ordinal: int) -> Request:
    """As long as the item's request may well become: what will be shown is not known before."""
    if questions.round is None:
        return questions.request(cell, ordinal)
    first = ordinal - ordinal % questions.round
    return questions.request(cell, ordinal, [LONG] * min(first, MOST))


@dataclass
class Before:
    """Reads in the ledger what the rows of each cell ask, each of them once."""

    answers: Answers
    questions: Questions
    _read: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def request(self, cell: Cell, ordinal: int) -> Request:
        """The request for an item as it is sent, its first attempt."""
        shown = self.shown(cell, ordinal)
        return self.questions.request(cell, ordinal, shown)

    def shown(self, cell: Cell, ordinal: int) -> tuple[str, ...]:
        if self.questions.round is None:
            return ()
        first = ordinal - ordinal % self.questions.round
        read = self._read.setdefault((cell.topic, cell.language, cell.level), [])
        read += [self._question(cell, n) for n in range(len(read), first)]
        return tuple(filter(None, read[:first]))[-MOST:]

    def _question(self, cell: Cell, ordinal: int) -> str:
        """Empty where no answer fills the item."""
        answer = self.answers.filling(cell.stem(ordinal), cell.sample(ordinal))
        if answer is None:
            return ""
        first, *_ = teachers.parse(answer.reply["text"], self.questions.shape(cell, ordinal))
        return first.content

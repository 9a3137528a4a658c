"""Rows that training would refuse, each with the token where that shows. Reads as the trainer does;
nothing is cut."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import mlx_model, parted
from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.steps.typed import command
from jessy_build.trainers import _rows

SHOWN = 50
"""Rows that a terminal is told of; a file holds all."""
BEFORE = 4
"""Tokens that are shown before the one where a row breaks."""


@dataclass(frozen=True)
class Refused:
    id: str
    category: str
    problem: str
    hint: str
    expected: str = ""
    got: str = ""
    """Both empty where the template itself fails: there are no tokens to point at."""


class Reader:
    def __init__(self, base: Path, max_length: int) -> None:
        try:
            self.tokenizer = mlx_model.tokenizer(base)
        except ImportError as problem:
            raise mlx_model.missing(problem, "reading rows as tokens") from None
        self.chat = Chat.load(base)
        self.max_length = max_length

    def read(self, entry: Mapping[str, Any]) -> _rows.Row | Refused:
        id, category = entry["id"], entry["category"]
        try:
            return _rows.row(id, entry["messages"], self.chat, self._encode, self.max_length)
        except _rows.Unfit as problem:
            got = self._got(problem)
            return Refused(id, category, problem.problem, problem.hint, problem.expected, got)
        except StepError as problem:
            return Refused(id, category, f"cannot be read: {problem.problem}", problem.hint)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = _rows.encoding(self.tokenizer, text).ids
        return ids

    def _got(self, problem: _rows.Unfit) -> str:
        at, tokens = problem.at, problem.tokens
        if not tokens:
            return "no token at all"
        said = self._token(tokens, at)
        if problem.instead:
            said += f", where {self._token(problem.instead, at)} was"
        elif at >= 0:
            said = f"{len(tokens)} tokens, with {said}"
        if at > 0:
            said += f", behind '{self._text(tokens[max(0, at - BEFORE) : at])}'"
        return said

    def _token(self, tokens: Sequence[int], at: int) -> str:
        return f"token {at + 1} '{self._text([tokens[at]])}'" if at < len(tokens) else "the end"

    def _text(self, tokens: Sequence[int]) -> str:
        return parted.escaped(self.tokenizer.decode(list(tokens), skip_special_tokens=False))


def told(
    refused: Sequence[Refused], rows: int, places: Mapping[str, Sequence[str]], file: Path
) -> StepError:
    """All of them in one error. `places` are those of curated rows, by id, in their order."""
    order = {id: number for number, id in enumerate(places)}
    inorder = sorted(refused, key=lambda row: order.get(row.id, len(order)))
    blocks = ["\n".join(_lines(row, places.get(row.id, ()))) for row in inorder]
    file.write_text("\n".join(blocks) + "\n", encoding="utf-8")
    these = "as it is" if len(blocks) == 1 else "as they are"
    head = f"{len(blocks):,} of {rows:,} rows cannot be trained on {these}; nothing is trained:"
    left = len(blocks) - SHOWN
    more = [f"  and {left:,} more, which stand in {file}"] if left > 0 else []
    hints = dict.fromkeys(row.hint for row in refused if row.hint)
    return StepError("\n".join([head, *blocks[:SHOWN], *more]), hint="; ".join(hints))


def _lines(row: Refused, places: Sequence[str]) -> Iterator[str]:
    where = " or ".join(places) or f"`{command('show', row.id)}`"
    yield f"  {where}: row {row.id} of {row.category} {row.problem}"
    if row.expected:
        yield f"    expected: {row.expected}"
    if row.got:
        yield f"    got: {row.got}"

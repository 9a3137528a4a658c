"""Read a data set's rows as token ids, each marked: does the loss count it? Nothing is cut."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jessy_build.chat import Chat, NotPrefixStable
from jessy_build.diagnostics import StepError

Encode = Callable[[str], list[int]]


def encoding(tokenizer: Any, text: str) -> Any:
    """The template writes the BOS and all other special tokens; the tokenizer adds none."""
    return tokenizer.encode(text, add_special_tokens=False)


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    tokens: tuple[int, ...]
    """Up to the last one that is trained: nothing is learned behind it."""
    trained: tuple[bool, ...]
    category: str = ""
    level: str = ""

    def __len__(self) -> int:
        """Tokens the model reads: the last one is only ever an answer."""
        return len(self.tokens) - 1

    @property
    def supervised(self) -> int:
        return sum(self.trained)


class Unfit(StepError):
    """A row that cannot be trained on as it is, and the token where that shows."""

    def __init__(
        self,
        problem: str,
        *,
        hint: str,
        expected: str,
        tokens: Sequence[int],
        at: int,
        instead: Sequence[int] = (),
    ) -> None:
        super().__init__(problem, hint=hint)
        self.expected = expected
        self.tokens, self.at = tokens, at
        self.instead = instead
        """What was to be there, where the same text was read twice, and otherwise."""


def read(file: Path, chat: Chat, encode: Encode, max_length: int) -> list[Row]:
    """All rows, or one StepError that names the first bad one and counts the others."""
    rows: list[Row] = []
    problems: list[StepError] = []
    for number, entry in entries(file):
        try:
            rows.append(read_entry(entry, f"line {number}", chat, encode, max_length))
        except StepError as problem:
            problems.append(problem)
    if problems:
        others = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
        raise StepError(f"{file.name}: {problems[0].problem}{others}", hint=problems[0].hint)
    return rows


def read_entry(
    entry: dict[str, Any], place: str, chat: Chat, encode: Encode, max_length: int
) -> Row:
    """One line of a data set; `place` names it where it has no id."""
    name = str(entry.get("id") or place)
    try:
        read = row(name, entry["messages"], chat, encode, max_length)
    except StepError as problem:
        raise StepError(f"row {name} {problem.problem}", hint=problem.hint) from None
    labels = {"category": entry.get("category", ""), "level": entry.get("complexity", "")}
    return replace(read, **labels)


def entries(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, json.loads(line)


def row(
    name: str, messages: list[dict[str, str]], chat: Chat, encode: Encode, max_length: int
) -> Row:
    tokens: list[int] = []
    trained: list[bool] = []
    try:
        segments = chat.segments(messages)
    except NotPrefixStable as problem:
        raise _rewritten(problem, encode) from None
    # Piece by piece, as at the time of answering: there the prompt ends before the answer begins.
    for segment in segments:
        piece = encode(segment.text)
        tokens += piece
        trained += [segment.trained] * len(piece)
    end = len(trained)
    while end and not trained[end - 1]:
        end -= 1
    if end < 2 or not any(trained[1:]):
        raise Unfit(
            "has no answer to train on",
            hint="each row needs at least one assistant message",
            expected="a token behind the first one that an answer holds",
            tokens=tokens,
            at=len(tokens) - 1,
        )
    if end > max_length:
        raise Unfit(
            f"is {end} tokens long; train.max_seq_length allows {max_length}",
            hint="raise train.max_seq_length, or shorten or drop the row",
            expected=f"at most {max_length} tokens",
            tokens=tokens[:end],
            at=max_length,
        )
    return Row(name, tuple(tokens[:end]), (False, *trained[1:end]))


def _rewritten(problem: NotPrefixStable, encode: Encode) -> Unfit:
    alone, followed = encode(problem.alone), encode(problem.followed)
    pairs = zip(alone, followed, strict=False)
    apart = (i for i, (one, other) in enumerate(pairs) if one != other)
    return Unfit(
        f"is rewritten: {problem.problem}",
        hint=problem.hint,
        expected=f"message {problem.turn} as it was rendered before",
        tokens=followed,
        at=next(apart, min(len(alone), len(followed))),
        instead=alone,
    )

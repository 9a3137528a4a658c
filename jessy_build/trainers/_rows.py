"""Read a data set's rows as token ids, each marked: does the loss count it? Nothing is cut."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jessy_build.chat import Chat
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
        row = _row(name, entry["messages"], chat, encode, max_length)
    except StepError as problem:
        raise StepError(f"row {name} {problem.problem}", hint=problem.hint) from None
    labels = {"category": entry.get("category", ""), "level": entry.get("complexity", "")}
    return replace(row, **labels)


def entries(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, json.loads(line)


def _row(
    name: str, messages: list[dict[str, str]], chat: Chat, encode: Encode, max_length: int
) -> Row:
    tokens: list[int] = []
    trained: list[bool] = []
    # Piece by piece, as at the time of answering: there the prompt ends before the answer begins.
    for segment in chat.segments(messages):
        piece = encode(segment.text)
        tokens += piece
        trained += [segment.trained] * len(piece)
    while trained and not trained[-1]:
        tokens.pop()
        trained.pop()
    if len(tokens) < 2 or not any(trained[1:]):
        raise StepError(
            "has no answer to train on", hint="each row needs at least one assistant message"
        )
    if len(tokens) > max_length:
        raise StepError(
            f"is {len(tokens)} tokens long; train.max_seq_length allows {max_length}",
            hint="raise train.max_seq_length, or shorten or drop the row",
        )
    return Row(name, tuple(tokens), (False, *trained[1:]))

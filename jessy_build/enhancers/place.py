"""Put a text before or behind an answer, so that its Markdown means what it meant before."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

Where = Literal["start", "end", "both"]

BLOCK = re.compile(r"[ \t]{0,3}(#{1,6}\s|[-*+]\s|\d+[.)]\s|[><]|```|~~~)|\t| {4}|.*\|")
"""A line that is no plain prose: a heading, a list, a quotation, code, a table. Nothing may stand
in it, before or behind."""
UNDERLINE = re.compile(r"[ \t]*[|:=-][|:=\s-]*$")
"""The second line of a heading or of a table."""
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
VARIANT = "\ufe0f"
"""Asks for the coloured form of a sign; written or not, it is the same emoji."""


def has(answer: str, texts: tuple[str, ...]) -> bool:
    """Whether one of them stands there already, in whatever case, and not inside another word."""
    return _any_of(texts).search(_plain(answer)) is not None


@cache
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<!\w){re.escape(_plain(text))}(?!\w)" for text in texts))


def _plain(text: str) -> str:
    return text.replace(VARIANT, "").casefold()


def put(answer: str, text: str, where: Where, between: str = " ") -> str | None:
    """None where nothing can be put: an answer that ends amid code has no end of prose."""
    if where != "end":
        answer = text + _gap(_first(answer), between) + answer.lstrip("\r\n")
    if where != "start":
        if _ends_in_code(answer):
            return None
        answer = answer.rstrip()
        answer += _gap([answer.rpartition("\n")[2]], between) + text
    return answer


def _first(answer: str) -> Sequence[str]:
    return answer.lstrip("\r\n").split("\n", 2)[:2]


def _gap(lines: Sequence[str], between: str) -> str:
    underlined = len(lines) > 1 and UNDERLINE.match(lines[1])
    return "\n\n" if underlined or BLOCK.match(lines[0]) else between


def _ends_in_code(answer: str) -> bool:
    """Whether a fence is open at the end, by the rules of CommonMark."""
    opened = ""
    for line in answer.split("\n"):
        if not (fence := FENCE.match(line)):
            continue
        signs, rest = fence.groups()
        if not opened:
            # Behind a fence of backticks none may follow: that is code in a line of prose.
            opened = "" if signs[0] == "`" and "`" in rest else signs
        elif signs.startswith(opened) and not rest.strip():
            opened = ""
    return bool(opened)

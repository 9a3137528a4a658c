"""The review beside a recipe: what people decided about examples, a line each, for git.

A decision is about an example by its id and about the text that was judged: rows that ask the same
share an id, and an answer that has been mended since was never judged. What is about no row of a
data set does nothing there.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from jessy_build import digest
from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.example import Message, Role
from jessy_build.recipe.paths import REVIEW_ENDING
from jessy_build.recipe.text import SEPARATORS, UNPRINTABLE, UnreadableText, half_character
from jessy_build.recipe.text import read_text as _read_text

NOT_A_DECISION = code("R310", "a line of a review is no decision")
TWICE = code("R311", "a review decides twice about one example")

Word = Literal["accept", "reject", "edit"]
MAX_BYTES = 256 << 20
DIGITS = 16
ASKED = 80
"""Letters of the question that stand in a line, for whoever reads a diff."""
MERGED = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
KEEP_BOTH = "git left both sides of a merge here: keep the lines of both, take the marks out"


class Decision(NamedTuple):
    id: str
    text: str
    """The digest of the messages that were judged, as `text_of` makes it."""
    category: str
    decision: Word
    asked: str
    """The beginning of what was asked: for people, and read by nobody."""
    messages: tuple[Message, ...] = ()
    """What an edit puts in their place."""

    @property
    def about(self) -> tuple[str, str]:
        return self.id, self.text


Decisions = Mapping[tuple[str, str], Decision]


def path_of(recipe: Path) -> Path:
    return recipe.with_suffix(REVIEW_ENDING)


def text_of(messages: Iterable[Message]) -> str:
    return digest.of_value([list(message) for message in messages])[:DIGITS]


def excerpt(messages: Iterable[Message]) -> str:
    asked = " ".join(" ".join(m.content for m in messages if m.role == "user").split())
    return asked if len(asked) <= ASKED else asked[: ASKED - 1] + "…"


# Read


class Review(NamedTuple):
    """What stands in the file of a recipe; a recipe may have none."""

    decisions: Decisions
    problems: tuple[Diagnostic, ...] = ()
    sha256: str = ""


def read(recipe: Path, shown: str = "") -> Review:
    """`shown` is the recipe's name for people."""
    path = path_of(recipe)
    if not os.path.lexists(path):
        return Review({})
    name = str(path_of(Path(shown or str(recipe))))
    try:
        text, sha256 = _read_text(path, MAX_BYTES)
    except UnreadableText as unreadable:
        return Review({}, (unreadable.diagnostic(name),))
    found: dict[tuple[str, str], Decision] = {}
    lines: dict[tuple[str, str], int] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            decision = of_line(line)
        except _NoDecision as wrong:
            problems.append(wrong.diagnostic(_span(name, number, line)))
            continue
        before = found.setdefault(decision.about, decision)
        first = lines.setdefault(decision.about, number)
        if before._replace(asked="") != decision._replace(asked=""):
            problems.append(_twice(_span(name, number, line), decision, first))
    return Review(found, tuple(problems), sha256)


class _NoDecision(Exception):
    def __init__(self, problem: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.expected, self.hint = problem, expected, hint

    def diagnostic(self, span: Span) -> Diagnostic:
        return Diagnostic(
            NOT_A_DECISION, span, "", self.problem, expected=self.expected, hint=self.hint
        )


def _span(shown: str, number: int, line: str) -> Span:
    return Span(shown, number, 1, len(line.rstrip()) + 1)


def _twice(span: Span, decision: Decision, first: int) -> Diagnostic:
    problem = f"the example {decision.id} is decided otherwise in line {first}"
    return Diagnostic(TWICE, span, "", problem, hint="keep the line that you mean")


def of_line(line: str) -> Decision:
    if line.startswith(MERGED):
        raise _NoDecision("this line is a mark of git", expected="a decision", hint=KEEP_BOTH)
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise _NoDecision("this line is no JSON", expected=EXPECTED) from None
    if not isinstance(said, dict):
        raise _NoDecision("this line is no JSON object", expected=EXPECTED)
    if unknown := sorted(said.keys() - set(Decision._fields)):
        raise _NoDecision(f"'{unknown[0]}' is no field of a decision", expected=EXPECTED)
    word: Any = said.get("decision")
    if word not in get_args(Word):
        raise _NoDecision("'decision' says nothing known", expected="accept, reject or edit")
    for name in ("id", "text", "category"):
        if not isinstance(said.get(name), str) or not said[name]:
            raise _NoDecision(f"'{name}' is no text", expected=EXPECTED)
    asked = said.get("asked", "")
    messages = tuple(_messages(said.get("messages", ())))
    if bool(messages) != (word == "edit"):
        raise _NoDecision("an edit, and nothing else, has 'messages'", expected=EXPECTED)
    return Decision(said["id"], said["text"], said["category"], word, str(asked), messages)


EXPECTED = (
    '{"id": "…", "text": "…", "category": "…", "decision": "reject"}, as jessy review writes it'
)


def _messages(said: Any) -> Iterator[Message]:
    if not isinstance(said, list | tuple):
        raise _NoDecision("'messages' is no list", expected=EXPECTED)
    for one in said:
        one = one if isinstance(one, dict) else {}
        role: Any
        role, content = one.get("role"), one.get("content")
        if role not in get_args(Role) or not isinstance(content, str) or not content.strip():
            raise _NoDecision(
                "'messages' holds something that nobody says",
                expected='{"role": "user", "content": "…"}, with a text',
            )
        if half_character(content):
            raise _NoDecision("'messages' holds half a character", expected="whole ones")
        yield Message(role, content)


# Write


@lru_cache(maxsize=1 << 18)
def line_of(decision: Decision) -> str:
    """Kept: with each decision all lines are written, and one of them is new."""
    said: dict[str, Any] = decision._asdict()
    said["messages"] = [message._asdict() for message in decision.messages]
    if not decision.messages:
        del said["messages"]
    text = json.dumps(said, ensure_ascii=False)
    for signs in (UNPRINTABLE, SEPARATORS):
        text = signs.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)
    return text


def write(path: Path, decisions: Iterable[Decision]) -> None:
    """As a whole or not at all; sorted, so that a decision is one line of a diff."""
    lines = [line_of(decision) + "\n" for decision in sorted(decisions, key=_order)]
    if not lines:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _order(decision: Decision) -> tuple[str, str, str]:
    return decision.category, decision.id, decision.text

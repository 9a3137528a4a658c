"""No question stands twice in a data set, also not written a little differently.

Case, the punctuation that ends words, quotes and the width of spaces do not make two questions of
one. Letters do, since `nasilsin` beside `nasılsın` is a spelling worth learning, and so does any
other sign: `12*3` and `12/3` stay apart.
"""

import unicodedata
from collections.abc import Iterator, Sequence

from jessy_build.example import Example, Role
from jessy_build.speech.phrases import OTHERS, TURKISH
from jessy_build.validators.finding import Finding, Limits, error, excerpt

RULE = "duplicates"

QUOTES = "'\"’‘“”«»"
ENDS = ".,;:!?…"
"""Taken off the end of a word only: `.net` is not `net`."""


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    """The first of several stays; each later one is a finding."""
    first: dict[tuple[str, ...], Example] = {}
    for example in examples:
        before = first.setdefault(_asked(example), example)
        if before is not example:
            yield error(example, RULE, _told(before, example))


def _asked(example: Example) -> tuple[str, ...]:
    return tuple(normal(text, example.language) for text in texts(example, "user"))


def normal(text: str, language: str = "") -> str:
    """Two texts with the same normal form ask the same."""
    text = unicodedata.normalize("NFC", text)
    text = text.translate(TURKISH if language == "tr" else OTHERS).casefold()
    words = [word.strip(QUOTES).rstrip(ENDS).strip(QUOTES) for word in text.split()]
    # A text of nothing but signs, as `?!`, is itself.
    return " ".join(word for word in words if word) or " ".join(text.split())


def _told(before: Example, example: Example) -> str:
    same = f"asks the same as {before.origin.source}"
    answers = zip(texts(example, "assistant"), texts(before, "assistant"), strict=False)
    for here, there in answers:
        if normal(here, example.language) != normal(there, before.language):
            told = f"{excerpt(here)} here, {excerpt(there)} there"
            return f"{same} and answers differently: {told}"
    return f"{same} and answers the same"


def texts(example: Example, role: Role) -> list[str]:
    return [message.content for message in example.messages if message.role == role]

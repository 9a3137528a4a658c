"""Every prompt that the shipped recipes would send, and what can be seen to be wrong with one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jessy_build.engine.ledger import Ledger
from jessy_build.recipe.load import LoadedRecipe
from jessy_build.steps import items

OF_JINJA = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}|\bUndefined\b|\bloop\.")
EMPTY_PLACE = re.compile(
    r"^ *- *$"  # a point without words
    r"|^ *(?:-|\d+\.) [^\n]*[:(] *$(?!\n +1\. )"  # one that ends where its value should begin
    r"|(?<!\w)\( *\)|\( *[;,]|[,;:] *\)| [,;](?: |$)|: *[;,]|\babout *$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Prompt:
    category: str
    topic: str
    language: str
    level: str
    ordinal: int
    text: str
    keys: tuple[str, ...]
    """Of the JSON object that the answer has to be."""
    excerpt: str = ""
    """What it is about, where that comes out of a file."""

    @property
    def own_words(self) -> str:
        """Code may well have a place with nothing in it."""
        return self.text.replace(self.excerpt, "…") if self.excerpt else self.text

    @property
    def place(self) -> str:
        return f"{self.category}/{self.topic}/{self.language}/{self.level}/{self.ordinal}"


def prompts(loaded: LoadedRecipe, ledger: Ledger) -> Iterator[Prompt]:
    """As `generate` makes them, one for each item."""
    for category in loaded.templates:
        asked = items.questions(loaded, category, ledger)
        for cell in asked.cells:
            for ordinal in range(cell.rows):
                request = asked.request(cell, ordinal)
                schema: Any = request.schema
                yield Prompt(
                    category,
                    cell.topic,
                    cell.language,
                    cell.level,
                    ordinal,
                    request.messages[-1].content,
                    tuple(schema["properties"]),
                    asked.dealt.of(cell, ordinal).text if asked.dealt else "",
                )


def flaws(text: str) -> list[str]:
    """Leftovers of Jinja, and places where a variable should be and nothing is."""
    found = [f"of Jinja: {match[0]!r}" for match in OF_JINJA.finditer(text)]
    found += [f"nothing in: {match[0]!r}" for match in EMPTY_PLACE.finditer(text)]
    if "\n\n\n" in text:
        found.append("two empty lines in a row")
    return found


def without_its_number(prompt: Prompt) -> str:
    return re.sub(r"it is number \d+ of its kind", "", prompt.text)

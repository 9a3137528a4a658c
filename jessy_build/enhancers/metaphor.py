"""A picture for what was said: a paragraph of its own, so that it may be about all of the answer.

Which picture fits depends on what the row is about, so a recipe gives most of them with `topic`.
"""

from typing import Annotated, Literal

from pydantic import Field

from jessy_build.enhancers import place
from jessy_build.enhancers.limits import ONE_LINE, Limits
from jessy_build.enhancers.put import Pick, Put

Metaphor = Annotated[str, Field(min_length=1, max_length=400, pattern=ONE_LINE)]


class Config(Limits):
    """A metaphor put into some of the answers, as a paragraph of its own."""

    kind: Literal["metaphor"]
    metaphors: Annotated[tuple[Metaphor, ...], Field(min_length=1)]
    """One of them, drawn for each answer. An answer that has any of them already gets none."""
    where: Literal["start", "end"] = "end"
    """Before the answer, or behind it."""


def enhance(config: Config, answer: str, pick: Pick) -> Put | None:
    if place.has(answer, config.metaphors):
        return None
    metaphor = pick(config.metaphors)
    return Put.of(place.put(answer, metaphor, config.where, "\n\n"), metaphor, config.where)

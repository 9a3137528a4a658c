"""A phrase that somebody likes to say, before the answer or behind it."""

from typing import Annotated, Literal

from pydantic import Field

from jessy_build.enhancers import place
from jessy_build.enhancers.limits import ONE_LINE, Limits
from jessy_build.enhancers.put import Pick, Put

Phrase = Annotated[str, Field(min_length=1, max_length=200, pattern=ONE_LINE)]


class Config(Limits):
    """A phrase put into some of the answers."""

    kind: Literal["phrase"]
    phrases: Annotated[tuple[Phrase, ...], Field(min_length=1)]
    """One of them, drawn for each answer. An answer that has any of them already gets none."""
    where: Literal["start", "end"] = "start"
    """Before the answer, or behind it."""


def enhance(config: Config, answer: str, pick: Pick) -> Put | None:
    if place.has(answer, config.phrases):
        return None
    phrase = pick(config.phrases)
    return Put.of(place.put(answer, phrase, config.where), phrase, config.where)

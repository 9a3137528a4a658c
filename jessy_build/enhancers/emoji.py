"""An emoji at the edge of an answer, never inside its code."""

from typing import Annotated, Literal

from pydantic import Field

from jessy_build.enhancers import place
from jessy_build.enhancers.limits import ONE_WORD, Limits
from jessy_build.enhancers.put import Pick, Put

Emoji = Annotated[str, Field(min_length=1, max_length=20, pattern=ONE_WORD)]


class Config(Limits):
    """An emoji put into some of the answers."""

    kind: Literal["emoji"]
    emoji: Annotated[tuple[Emoji, ...], Field(min_length=1)]
    """One of them, drawn for each answer. An answer that has any of them already gets none."""
    where: Literal["start", "end", "both"] = "end"
    """Before the answer, behind it, or the same one at both ends."""


def enhance(config: Config, answer: str, pick: Pick) -> Put | None:
    if place.has(answer, config.emoji):
        return None
    emoji = pick(config.emoji)
    return Put.of(place.put(answer, emoji, config.where), emoji, config.where)

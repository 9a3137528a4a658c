"""Changes made to answers before they are trained on: one module a kind, listed here.

What an answer gets is drawn by the data set's seed, the row's id and the turn, never by a state
that goes from row to row. Done once or twice, the outcome is the same.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol, cast

from pydantic import Field, TypeAdapter

from jessy_build import digest
from jessy_build.enhancers import emoji, metaphor, phrase
from jessy_build.enhancers.limits import ONE_LINE, ONE_WORD, Limits
from jessy_build.enhancers.put import Pick, Put
from jessy_build.example import Example, Message

__all__ = ["ENHANCERS", "ONE_LINE", "ONE_WORD", "Added", "Config", "Enhanced", "enhance", "read"]


class Enhancer(Protocol):
    """A module of an enhancer, beside its `Config`."""

    def enhance(self, config: Any, answer: str, pick: Pick) -> Put | None:
        # None where the answer has it already, or has no place for it. What it puts in must be
        # found again by the same look: that is what keeps it from being put in twice.
        ...


ENHANCERS: Mapping[str, Enhancer] = {"phrase": phrase, "emoji": emoji, "metaphor": metaphor}

Config = Annotated[
    phrase.Config | emoji.Config | metaphor.Config,
    Field(discriminator="kind"),
]
"""One of `dataset.enhance` in a recipe."""


class Added(NamedTuple):
    """What an enhancer put into an answer, as it stands in a row of the data set."""

    kind: str
    where: str
    turn: int
    """The answer's place among the messages of the row, from 0."""
    text: str


class Enhanced(NamedTuple):
    example: Example
    added: tuple[Added, ...] = ()
    no_room: int = 0
    """Additions left out, since the answer would have more words than its level allows."""


class Named(NamedTuple):
    """An enhancer and what its draws go by: not its texts or its chance, so that a text more, or
    another chance, draws as few rows anew as can be."""

    name: str
    config: Limits


def read(blocks: Sequence[Mapping[str, Any]]) -> list[Named]:
    """The dumps of `Config` that a step's parameters hold."""
    adapter: TypeAdapter[Any] = TypeAdapter(tuple[Config, ...])
    configs = adapter.validate_json(json.dumps(list(blocks)))
    seen = Counter[str]()
    named = []
    for config in configs:
        name = digest.of_value(config.model_dump(exclude={_texts(config), "chance"}))
        named.append(Named(f"{name}:{seen[name]}", config))
        seen[name] += 1
    return named


def _texts(config: Any) -> str:
    """The field of a kind that no other has."""
    field: str
    (field,) = set(type(config).model_fields) - {*Limits.model_fields, "kind", "where"}
    return field


def enhance(
    example: Example, enhancers: Iterable[Named], seed: int, most_words: Mapping[str, int]
) -> Enhanced:
    """`most_words` by level; one that is not there has no limit."""
    messages, added, no_room = list(example.messages), list[Added](), 0
    most = most_words.get(example.complexity)
    for named in enhancers:
        if not named.config.cover(example):
            continue
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            put = _drawn(named, message.content, f"{seed}\0{example.id}\0{turn}\0{named.name}\0")
            if put is None:
                continue
            if most is not None and len(put.answer.split()) > most:
                no_room += 1
                continue
            messages[turn] = Message(message.role, put.answer)
            added.append(Added(_kind(named), put.where, turn, put.text))
    return Enhanced(example._replace(messages=tuple(messages)), tuple(added), no_room)


def _drawn(named: Named, answer: str, draw: str) -> Put | None:
    if _number(draw) >= named.config.chance:
        return None
    # The highest number wins, so that a text more takes only the answers that it wins.
    return ENHANCERS[_kind(named)].enhance(
        named.config, answer, lambda texts: max(texts, key=lambda text: _number(draw + text))
    )


def _kind(named: Named) -> str:
    return cast(phrase.Config, named.config).kind


def _number(draw: str) -> float:
    """From 0 on, and below 1."""
    return int(digest.of_bytes(draw.encode())[:13], 16) / 16**13

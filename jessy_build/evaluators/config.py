"""What a suite says: prompts that a good model is asked, and what must hold of its answers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jessy_build import config

LEVEL = "level"
"""In place of numbers: as many words as the prompt's level of complexity allows."""
SAME = "same"
"""In place of a language: the one that the prompt is in."""

Phrase = Annotated[str, Field(min_length=1, max_length=200)]
Phrases = Annotated[tuple[Phrase, ...], Field(min_length=1)]


class Words(config.Config):
    """How many words an answer has. Words are what spaces separate."""

    min: int = Field(default=1, ge=0)
    """At least."""
    max: int | None = Field(default=None, ge=1)
    """At most. Default: any number."""

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, and min is {self.min}: no answer has both")
        return self


class Expect(config.Config):
    """What holds of a good answer. Each field that is written is one rule, and none is asked for
    that is not written."""

    words: Words | Literal["level"] | None = None
    """How long it is: `{max: 12}`, or `level`, which is as long as the prompt's level allows."""
    language: Literal["tr", "en", "mixed", "same"] | None = None
    """Whose words it is made of, for the most part; `mixed` takes either, and `same` is the
    language of the prompt."""
    contains: Phrases | None = None
    """Phrases that all stand in it: whole words in any case, with `*` for any ending."""
    any_of: Phrases | None = None
    """Phrases of which one at least stands in it."""
    lacks: Phrases | None = None
    """Phrases that do not stand in it."""
    equals: Phrases | None = None
    """Texts of which it is one: the same words, whatever their case and the marks between them."""
    ends: bool | None = None
    """Whether the model comes to an end by itself within `max_tokens`."""


class Prompt(config.Config):
    """One question of a suite. Asked by itself, after the persona's system text."""

    prompt: Annotated[str, Field(min_length=1)]
    """What is asked."""
    language: Literal["tr", "en", "mixed"] | None = None
    """The language it is in, for `language: same`."""
    complexity: str | None = None
    """Its level, for `words: level`."""
    expect: Expect = Expect()
    """What holds of its answer. Besides, what the suite expects of all and is not said here."""


class Suite(config.Config):
    """Prompts with what a good answer holds."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """What the suite is called. Default in a file of its own: the file's name."""
    description: str = ""
    """One line for people."""
    max_tokens: int = Field(default=80, ge=1, le=4096)
    """Tokens of an answer at most."""
    expect: Expect = Expect()
    """What holds of every answer, where its prompt does not say otherwise."""
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    """What is asked."""

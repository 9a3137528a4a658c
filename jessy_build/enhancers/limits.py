"""Which answers an enhancer is for: what all kinds share of their block in the recipe."""

from typing import Literal

from pydantic import Field

from jessy_build.config import Config
from jessy_build.example import Example

KEY = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
ONE_LINE = r"^\S(.*\S)?$"
ONE_WORD = r"^\S+$"


class Limits(Config):
    """For whom an enhancer is. What is left out limits nothing."""

    language: Literal["tr", "en", "mixed"] | None = None
    """Only in rows of this language. Default: in all."""
    category: str | None = Field(default=None, pattern=KEY)
    """Only in rows of this category. Default: in all."""
    complexity: str | None = Field(default=None, pattern=KEY)
    """Only in rows of this level. Default: in all."""
    topic: str | None = Field(default=None, min_length=1, max_length=200)
    """Only in rows about this topic. Default: in all."""
    chance: float = Field(default=1, ge=0, le=1)
    """Share of the answers that get one. Each is drawn by the data set's seed and its own row, so
    the share is met on average, other rows change nothing, and a higher chance keeps those that a
    lower one drew."""

    def cover(self, example: Example) -> bool:
        return all(
            limit is None or limit == said
            for limit, said in (
                (self.language, example.language),
                (self.category, example.category),
                (self.complexity, example.complexity),
                (self.topic, example.topic),
            )
        )

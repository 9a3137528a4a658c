"""What a teacher's account pays, as the recipe says it."""

from datetime import date

from pydantic import Field

from jessy_build import hosts
from jessy_build.config import Config


class Prices(Config):
    """Dollars per million tokens. Told to people; no part of any request."""

    input: float = Field(ge=0)
    """Of what is asked."""
    output: float = Field(ge=0)
    """Of what is answered, thinking included."""
    cached_input: float | None = Field(default=None, ge=0)
    """Of what is asked and read from a cache. Default: as `input`."""
    cache_write: float | None = Field(default=None, ge=0)
    """Of what is asked and newly written to a cache. Default: 1.25 times `input`."""
    as_of: date
    """The day they were looked up, as 2026-11-01. After a year a warning asks to look again."""


def costs_nothing(kind: str, base_url: str | None) -> bool:
    """Whether the answers come from this machine, so that nobody needs to name a price."""
    if kind == "openai":
        return base_url is not None and hosts.is_loopback(base_url)
    return kind in ("ollama", "mlx")

"""Who gives the examples: one module a teacher, listed here. Importing this loads no SDK."""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from jessy_build.example import Reply, Request
from jessy_build.settings import Settings
from jessy_build.teachers import anthropic, curated, mlx, ollama, openai
from jessy_build.teachers.asking import Malformed, Shape, example_schema, parse

if TYPE_CHECKING:
    from jessy_build.teachers.message_batches import MessageBatches

__all__ = [
    "ASKING",
    "TEACHERS",
    "Asking",
    "Config",
    "Malformed",
    "Shape",
    "Teacher",
    "example_schema",
    "parse",
]

TEACHERS: dict[str, ModuleType] = {
    "curated": curated,
    "anthropic": anthropic,
    "ollama": ollama,
    "openai": openai,
    "mlx": mlx,
}

Config = Annotated[
    curated.Config | anthropic.Config | ollama.Config | openai.Config | mlx.Config,
    Field(discriminator="kind"),
]
"""What may stand under a name in `teachers:` of a recipe."""


class Teacher(Protocol):
    """An open connection to a teacher that can be asked. Several `ask`s may run at once."""

    # How many requests it should have in flight; the caller keeps to it.
    concurrency: int

    async def ask(self, request: Request) -> Reply:
        # One answer to one request made by the same module's `request`, tried once. Where another
        # try may help it raises retry.Passing, else StepError with the next move; an answer that
        # was cut off or refused is a Reply that says so. Cancelling it closes its connection.
        ...

    async def close(self) -> None:
        # Gives connections back. Nothing is asked afterwards.
        ...


class Asking(Protocol):
    """A module of a teacher that is asked, beside its `Config`."""

    def open(self, config: Any, settings: Settings) -> Teacher:
        # Needs what is needed to ask (a package, a key) and says what is missing as StepError.
        # Sends nothing yet. Keys come from `settings.env` and go nowhere else.
        ...

    def request(
        self,
        config: Any,
        *,
        prompt: str,
        system: str | None = None,
        schema: Mapping[str, Any] | None = None,
        sample: int = 0,
    ) -> Request:
        # All of the config that changes an answer, and nothing else: neither host nor speed.
        ...


ASKING: dict[str, Asking] = {
    "anthropic": anthropic,
    "ollama": ollama,
    "openai": openai,
    "mlx": mlx,
}
"""The teachers that are asked; the others bring their rows."""


def in_batches(teacher: Teacher) -> "MessageBatches | None":
    """Where the teacher's questions may be sent many at once; None where they may not."""
    if not isinstance(teacher, anthropic.Claude):
        return None
    from jessy_build.teachers.message_batches import MessageBatches

    return MessageBatches(teacher)

"""A local model in this process: all that is asked at once is decoded as one batch.

A plan knows such a teacher as `Pinned`: by what its weights are, not by where they lie.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jessy_build import mlx_model
from jessy_build.config import Config as BaseConfig
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.example import Reply, Request, Usage
from jessy_build.settings import Settings
from jessy_build.teachers import asking, retry

if TYPE_CHECKING:
    from jessy_build.teachers.mlx_batch import Batch

PACKAGES = ("mlx", "mlx_lm", "tokenizers", "llguidance")


class Config(BaseConfig):
    """A model in this process, computed with MLX. It costs nothing but time."""

    kind: Literal["mlx"]
    model: str = Field(min_length=1, max_length=1000)
    """`hf:org/name`, or `path:./model-folder`: a folder in the Hugging Face way, with safetensors.
    Weights that MLX holds in 4 bits will do. Code that such a folder brings is never run."""
    revision: str | None = None
    """The commit of an `hf:` model, 40 hex digits. Required there: an answer must be known by the
    weights that gave it. Those of a `path:` model are read and known by their digest."""
    chat_template: str | None = Field(default=None, min_length=1, max_length=1000)
    """How turns become text: `chatml`, `gemma`, `llama3`, or the path of a `.jinja` file.
    Default: the model's own."""
    temperature: float = Field(default=0.8, ge=0, le=2)
    """0 gives the likeliest answer, more gives more variety."""
    max_tokens: int = Field(default=512, ge=1, le=16_000)
    """Tokens of an answer at most; one that is cut off never becomes an example."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Requests decoded together, as one batch. More of them are faster in all and take more
    memory."""
    timeout: float = Field(default=300, gt=0, le=3600)
    """Seconds to wait for one answer, once the model is loaded."""


class Pinned(Config):
    """What the words of a recipe lead to. Made by `steps.weights`, never written by anybody."""

    weights: str
    """`hf:org/name@revision`, or `path:` and the digest of its files: part of every request."""
    folder: Path | None = None
    """Where they lie; None until they were fetched."""
    seen: tuple[tuple[str, int, int, int], ...] = ()
    """Name, size, time and inode of each file of a `path:` model when the plan was made."""
    template: str | None = None
    """The text behind `chat_template`."""


def request(
    config: Pinned,
    *,
    prompt: str,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> Request:
    # The model's own template is among the files of its weights.
    template = {} if config.template is None else {"chat_template": config.template}
    return Request(
        provider="mlx",
        model=config.weights,
        messages=asking.messages(prompt, system),
        max_tokens=config.max_tokens,
        params={"temperature": config.temperature, **template},
        schema=schema,
        sample=sample,
    )


def open(config: Pinned, settings: Settings) -> "Mlx":
    """The folder must be there; it is loaded with the first question."""
    from importlib.util import find_spec

    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingPackage(
                package, needed_for="a teacher of kind mlx", install=mlx_model.INSTALL
            )
    if config.folder is None:
        raise StepError(f"{config.model} was not fetched", hint="build again")
    from jessy_build.teachers.mlx_batch import Batch

    return Mlx(config, Batch(config.folder, config.template, config.concurrency))


class Mlx:
    def __init__(self, config: Pinned, batch: "Batch") -> None:
        self.concurrency = config.concurrency
        self._config = config
        self._batch = batch

    async def ask(self, request: Request) -> Reply:
        import asyncio

        # Not part of the time that one answer may take: it is a wait for the first one only.
        await self._batch.loaded()
        began = time.perf_counter()
        seconds = asking.seconds(request, self._config.timeout)
        try:
            async with asyncio.timeout(seconds):
                # Leaving this wait, for whatever reason, frees the place in the batch.
                answer = await self._batch.answer(request)
        except TimeoutError:
            raise retry.late(self._config.model, seconds) from None
        return Reply(
            text=answer.text,
            stop="end" if answer.ended else "length",
            usage=Usage(input_tokens=answer.read, output_tokens=answer.written),
            seconds=time.perf_counter() - began,
            # As the recipe calls it; the request knows it by its weights.
            model=self._config.model,
            request=request.digest,
        )

    async def close(self) -> None:
        import asyncio

        await asyncio.to_thread(self._batch.close)

"""What a recipe says about how the model is served.

Apart from `modelfile`, since every plan reads this, and hardly one writes a Modelfile.
"""

from typing import Annotated, Literal

from pydantic import Field

from jessy_build.config import Config as Strict

Role = Literal["system", "user", "assistant"]
Value = int | float | tuple[str, ...]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Stop = Annotated[str, Field(min_length=1)]


class Parameters(Strict):
    """How the served model samples. What is left out, Ollama decides."""

    temperature: NotNegative | None = None
    """0 always takes the likeliest token; higher is more varied. Ollama's own default: 0.8."""
    top_p: Share | None = None
    """Sample from the likeliest tokens that together reach this share (nucleus sampling, Holtzman
    et al. 2020, arXiv 1904.09751). Ollama's default: 0.9."""
    top_k: Annotated[int, Field(ge=0)] | None = None
    """Sample from this many of the likeliest tokens (Fan et al. 2018, arXiv 1805.04833); 0 takes
    all. Ollama's default: 40."""
    min_p: Share | None = None
    """Drop tokens less likely than this share of the likeliest one (Nguyen et al. 2024, arXiv
    2407.01082). Ollama's default: 0."""
    typical_p: Share | None = None
    """Locally typical sampling (Meister et al. 2022, arXiv 2202.00666); 1 is off. Ollama's
    default: 1."""
    repeat_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Above 1, what was said lately becomes less likely (Keskar et al. 2019, arXiv 1909.05858); 1
    is off. Ollama's default: 1.1, which changes even greedy answers."""
    repeat_last_n: Annotated[int, Field(ge=-1)] | None = None
    """How many tokens back `repeat_penalty` looks; 0 is off, -1 the whole context. Ollama's
    default: 64."""
    presence_penalty: Number | None = None
    """Taken once off the score of each token that was said already. Ollama's
    default: 0."""
    frequency_penalty: Number | None = None
    """Taken off the score of a token for each time it was said. Ollama's default: 0."""
    num_ctx: Annotated[int, Field(ge=1)] | None = None
    """Tokens that the model sees at most, question and answer together."""
    num_predict: Annotated[int, Field(ge=-2)] | None = None
    """Tokens of an answer at most; -1 has no limit, -2 fills the context. Ollama's
    default: -1."""
    num_keep: Annotated[int, Field(ge=-1)] | None = None
    """Tokens of the beginning that stay when the context overflows; -1 keeps the prompt."""
    seed: int | None = None
    """The same seed and prompt give the same answer. Default: another one each time."""
    stop: tuple[Stop, ...] = ()
    """Texts that end an answer, beside those of the chat template."""

    def given(self) -> dict[str, Value]:
        """Only what was set, for the server and for the file."""
        values = self.model_dump(exclude_none=True)
        return {name: value for name, value in values.items() if value != ()}


class Turn(Strict):
    """One turn of the example conversation."""

    role: Role
    """Who speaks."""
    content: str
    """What is said."""


class Config(Strict):
    """The recipe's `modelfile` block."""

    parameters: Parameters = Parameters()
    """How the served model samples."""
    messages: tuple[Turn, ...] = ()
    """Turns that stand before every conversation, as an example to follow."""

"""What a recipe says about training an adapter.

Apart from `lora`, since every plan reads this, and hardly one trains.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from jessy_build import config

EPOCHS = 3


class Lora(config.Config):
    """The adapter (LoRA: Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(default=16, ge=1)
    """Columns of each adapter matrix, r in the paper: what it can learn, and what it weighs."""
    alpha: float = Field(default=32.0, gt=0)
    """Strength of the adapter: its output is multiplied by alpha / rank, which mlx-lm calls
    `scale`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of adapter inputs left out in each step. On a CPU 0.05 costs about a third of the
    speed."""
    targets: Literal["all-linear"] | tuple[str, ...] = Field(default="all-linear", min_length=1)
    """Which projections of a layer learn, by their last name, such as [q_proj, v_proj]."""
    layers: Literal["all"] | int = "all"
    """How many of the last layers learn, counted from the output."""

    @model_validator(mode="after")
    def _some_layers(self) -> Self:
        if isinstance(self.layers, int) and self.layers < 1:
            raise ValueError("layers is 'all' or a number from 1")
        return self

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class Optimizer(config.Config):
    """How the adapter follows the gradient."""

    kind: Literal["adamw"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with bias correction; beta 0.9 and
    0.999, epsilon 1e-8, as MLX has them."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest rate of the schedule; with AdamW about what one update moves each weight by."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls to zero after the warm-up: along half a cosine (Loshchilov and Hutter
    2017, arXiv 1608.03983) or a line; `constant` keeps it."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer updates in which the rate climbs to `learning_rate`."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Longer gradients are cut to this length, over all weights together (Pascanu et al. 2013,
    arXiv 1211.5063); 0 = never."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Pull of the adapter towards zero, as AdamW defines it."""


class Loss(config.Config):
    """What is made small: cross entropy of the answers' tokens, in nats. Prompts do not count."""

    average: Literal["token", "row"] = "token"
    """What counts alike in a batch: each answered token, or each row. By token, short answers
    are hardly heard beside long ones."""


class Config(config.Config):
    """How the adapter is trained."""

    lora: Lora = Lora()
    """The adapter."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all rows; 3 when `steps` is not given."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer updates, instead of `epochs`."""
    batch_size: int = Field(default=8, ge=1)
    """Rows in a batch, at most."""
    batch_tokens: int = Field(default=448, ge=0)
    """Tokens in a batch, at most, padding included; a longer row is a batch alone. 0 = no limit.
    On a CPU larger batches cost more per token."""
    grad_accumulation: int = Field(default=1, ge=1)
    """Batches in one optimizer update."""
    optimizer: Optimizer = Optimizer()
    """How the adapter follows the gradient."""
    loss: Loss = Loss()
    """What is made small."""
    max_seq_length: int = Field(default=2048, ge=2)
    """Tokens of the longest row allowed. A longer one is refused, never cut."""
    eval_every: int = Field(default=0, ge=0)
    """Optimizer updates between two looks at the validation rows; 0 = after each epoch."""
    keep: Literal["best", "last"] = "best"
    """Which adapter is the result: the one with the lowest validation loss, or the final one."""
    seed: int = Field(default=42, ge=0)
    """Decides the first adapter, the order of rows and the dropout."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        # Not "before": that one would take the rest of the block out of JSON mode, and strict
        # validation would then refuse a list for a tuple.
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.epochs is None and self.steps is None:
            self.__dict__["epochs"] = EPOCHS
        return self

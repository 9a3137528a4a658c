"""What a recipe says about training an adapter.

Apart from `lora`, since every plan reads this, and hardly one trains.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from jessy_build import config

EPOCHS = 3
GATES: Mapping[str, Any] = {"divergence": True, "phases": {"__all__": {"gate"}}}
"""Fields that change no adapter: they only say which one is good enough."""
NOT_TRAINED: Mapping[str, Any] = {**GATES, "keep": {"suite"}}
"""Nor does the suite by which one is chosen among those that were trained."""
SINCE: Mapping[str, Any] = {"method": "lora", "base_bits": None}
"""Fields that came later, and what was always done before: what says the same is the same."""


ADAPTER = ("rank", "alpha", "dropout", "targets")
"""Fields of `lora` that say nothing where no adapter is trained."""
HALVES: Mapping[str, str] = {"attention": "self_attn", "mlp": "mlp"}
"""What mlx-lm calls the two halves of a layer."""


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
    targets: Literal["all-linear", "attention", "mlp"] | tuple[str, ...] = Field(
        default="all-linear", min_length=1
    )
    """Which projections of a layer learn: all, those of one half, or some by their last name, such
    as [q_proj, v_proj]."""
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
    """Pull of what learns towards zero, as AdamW defines it."""
    bias_correction: bool = True
    """Without it, as mlx-lm trains by default, the first updates are several times too large."""


class Loss(config.Config):
    """What is made small: cross entropy of the answers' tokens, in nats. Prompts do not count."""

    average: Literal["token", "row"] = "token"
    """What counts alike in a batch: each answered token, or each row. By token, short answers
    are hardly heard beside long ones."""


class EarlyStop(config.Config):
    """When training has nothing more to win."""

    patience: int = Field(ge=1)
    """Looks at the validation rows without a lower loss, after which training ends
    (Prechelt 1998)."""


class Divergence(config.Config):
    """When training is given up."""

    threshold: float = Field(default=2.0, gt=1)
    """How many times the loss before training counts as lost."""
    patience: int = Field(default=10, ge=1)
    """Updates in a row with such a loss, after which training ends. One that is no number ends it
    at once."""


class Limit(config.Config):
    """A figure that must be reached."""

    max: float = Field(gt=0)
    """The most that will do."""


class PhaseGate(config.Config):
    """What a phase must have reached."""

    valid_loss: Limit
    """The loss on the validation rows of its categories."""


class Phase(config.Config):
    """One part of a curriculum (Bengio et al. 2009)."""

    name: str = Field(min_length=1)
    """What it is called in the report."""
    categories: tuple[str, ...] = Field(min_length=1)
    """Whose rows are trained on."""
    epochs: int = Field(default=1, ge=1)
    """Passes over these rows."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Its own highest rate, instead of `optimizer.learning_rate`. Each phase has the warm-up and
    the fall of the schedule for itself."""
    gate: PhaseGate | None = None
    """What it must have reached, or training ends there and fails."""

    def passes(self, reached: float | None) -> bool:
        """None: there are no validation rows to say so."""
        return self.gate is None or (reached is not None and reached <= self.gate.valid_loss.max)


class BySuite(config.Config):
    """Which adapter is the result: the one whose answers score best."""

    suite: str
    """The name of one of `evaluate.suites`. Its prompts are asked of each adapter that is kept."""
    among: int = Field(default=5, ge=2)
    """How many are kept: the last, and of the others those with the lowest validation losses. They
    are taken at the looks at the validation rows (`eval_every`), and each takes its disk space."""


class Config(config.Config):
    """How the adapter is trained."""

    method: Literal["lora", "dora", "full"] = "lora"
    """What learns. `lora`: two small matrices beside each projection. `dora`: the same two, which
    then only turn the rows of the projection, and the length of each row (Liu et al. 2024, arXiv
    2402.09353). `full`: all weights of the last `lora.layers` layers; embeddings and head stay as
    they are."""
    base_bits: Literal[4, 8] | None = None
    """Bits of a weight of the frozen projections while the adapter learns (QLoRA: Dettmers et al.
    2023, arXiv 2305.14314), packed as MLX packs them, 64 weights at a time. Embeddings and head
    stay as they are. A base that is quantised already is trained like this without it.
    Default: as the base comes."""
    lora: Lora = Lora()
    """The adapter."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all rows; 3 when neither `steps` nor `phases` are given."""
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
    repeat: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """How often a pass reads the rows of a level or a category, as {low: 3}. A row of two that are
    named is read as often as both say, multiplied."""
    every_batch: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Rows of a category that every batch holds at least. Too few of them are read again within a
    pass, in turn."""
    phases: tuple[Phase, ...] = ()
    """A curriculum: categories trained one after another, all into one adapter. Instead of `epochs`
    and `steps`. `early_stop` and `keep: best` look at the last phase alone."""
    early_stop: EarlyStop | None = None
    """End before the last epoch when the validation loss falls no more."""
    divergence: Divergence = Divergence()
    """When training is given up."""
    grad_checkpoint: bool = False
    """Compute each layer twice instead of keeping what it computed, to save memory on a GPU. Left
    out on a CPU, where it takes longer and saves nothing: MLX computes all second times at once."""
    max_seq_length: int = Field(default=2048, ge=2)
    """Tokens of the longest row allowed. A longer one is refused, never cut."""
    eval_every: int = Field(default=0, ge=0)
    """Optimizer updates between two looks at the validation rows; 0 = after each epoch."""
    keep: Literal["best", "last"] | BySuite = "best"
    """Which adapter is the result: the one with the lowest validation loss, the final one, or of
    several that are kept the one whose answers to a suite score best."""
    seed: int = Field(default=42, ge=0)
    """Decides the first adapter, the order of rows and the dropout."""

    def decisive(self) -> dict[str, Any]:
        """All that decides what is learned: the parameters of a training."""
        idle = {"lora": set(ADAPTER)} if self.method == "full" else {}
        said = self.model_dump(mode="json", exclude={**NOT_TRAINED, **idle})
        return {name: value for name, value in said.items() if value != SINCE.get(name, ...)}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        # Not "before": that one would take the rest of the block out of JSON mode, and strict
        # validation would then refuse a list for a tuple.
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.phases and (self.epochs is not None or self.steps is not None):
            raise ValueError("phases have epochs of their own: leave out epochs and steps")
        if self.epochs is None and self.steps is None and not self.phases:
            self.__dict__["epochs"] = EPOCHS
        return self

    @model_validator(mode="after")
    def _something_frozen(self) -> Self:
        if self.method == "full" and self.base_bits is not None:
            raise ValueError(
                "base_bits packs weights that stay as they are, and with method: full they learn"
            )
        return self

    @model_validator(mode="after")
    def _room_for_rows(self) -> Self:
        if self.every_batch and sum(self.every_batch.values()) >= self.batch_size:
            raise ValueError(
                f"every_batch takes {sum(self.every_batch.values())} rows of each batch, and "
                f"batch_size is {self.batch_size}: leave room for others"
            )
        return self

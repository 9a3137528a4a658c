"""What a training will take, from a base's config.json alone: arithmetic, so no weights are needed.

The shares that no shape tells were measured on a CPU, and hold there within half of what a training
then took (tests/trainers/test_estimate_real.py). On a GPU they come from what mlx-lm's own layers
keep, measured on a CPU too.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jessy_build.trainers.config import Config, Lora

Device = Literal["cpu", "gpu"]

SINGLE, HALF = 4, 2
"""Bytes of a number: fp32 on a CPU, where only that is fast, and the file's format on a GPU."""

PROCESS = 90_000_000
"""Python, MLX and numpy, before they hold any number of a model."""
KEPT: Mapping[Device, float] = {"cpu": 2.7, "gpu": 3.0}
"""Numbers kept on the way back, for each that a projection puts out."""
DROPOUT = 10.4
"""The same on a CPU with dropout, where projections are mlx-lm's own."""
TURNED = 2.0
"""More of them with DoRA on a GPU, whose way back asks what came out."""
SCORES: Mapping[Device, float] = {"cpu": 9.0, "gpu": 1.5}
"""The same, for each pair of tokens that a head of attention looks at; on a CPU in one layer at a
time, since none are kept there."""
LOGITS = 4.5
"""Numbers for each logit where logits are held whole: fp32, with their gradient."""
BOOKS = 8
"""Copies of the adapter, beside one gradient for each core: what AdamW remembers, the best one so
far, the last one that a checkpoint can take, and what arises between them."""
IDLE: Mapping[Device, float] = {"cpu": 0.4, "gpu": 0.1}
"""What a layer that learns nothing, below those that do, keeps of what a learning one does."""
SUPERVISED = 0.6
"""Of a row's tokens, those of answers; what short conversations have."""

WAY = 2
"""Operations on the way through for each number of a matrix: times, and plus."""

ATTENTION, MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
CHOSEN: Mapping[str, tuple[str, ...]] = {
    "all-linear": ATTENTION + MLP,
    "attention": ATTENTION,
    "mlp": MLP,
}
"""What the words of `train.lora.targets` mean."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of config.json that decide what a training takes."""

    hidden: int
    layers: int
    inner: int
    vocabulary: int
    heads: int
    key_heads: int
    head_dim: int
    tied: bool = True
    """One matrix for the words that go in and those that come out."""
    capped: bool = False
    """Its logits are bent at the end, so they are computed at every position."""
    bits: int | None = None
    """Of a weight, where the base is quantised."""
    group: int = 64
    """Weights that share two numbers, in a quantised base."""

    @property
    def projections(self) -> Mapping[str, tuple[int, int]]:
        """Those of a layer: numbers that go in, and that come out."""
        asked, known = self.heads * self.head_dim, self.key_heads * self.head_dim
        return {
            "q_proj": (self.hidden, asked),
            "k_proj": (self.hidden, known),
            "v_proj": (self.hidden, known),
            "o_proj": (asked, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def of_a_layer(self) -> int:
        return sum(into * out for into, out in self.projections.values())

    @property
    def words(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All but the norms, which are less than a thousandth."""
        return self.layers * self.of_a_layer + self.words * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows that go through the model at once, padded to one length."""

    rows: int
    length: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that are held at the fullest moment."""

    weights: int
    adapter: int
    """Or the weights that learn; with gradients and what AdamW remembers."""
    activations: int
    """Of the largest batch, kept for the way back; with its logits. Never less than what loading
    takes."""
    process: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.process

    def times(self, processes: int) -> "Memory":
        """Of so many on one machine, which share out the rows of a batch and nothing else."""
        return Memory(
            weights=self.weights * processes,
            adapter=self.adapter * processes,
            activations=self.activations,
            process=self.process * processes,
        )


def shape(config: Mapping[str, Any]) -> Shape | None:
    """None for a family whose layers are not the usual seven projections, or that says too little:
    what a file leaves out is not guessed."""
    # A model that sees, too, says one level down what its text part is like.
    said = {**config, **(config.get("text_config") or {})}
    if any(said.get(name) for name in ("num_local_experts", "num_experts", "n_routed_experts")):
        return None
    packed = config.get("quantization") or {}
    try:
        heads = int(said["num_attention_heads"])
        return Shape(
            hidden=int(said["hidden_size"]),
            layers=int(said["num_hidden_layers"]),
            inner=int(said["intermediate_size"]),
            vocabulary=int(said["vocab_size"]),
            heads=heads,
            key_heads=int(said.get("num_key_value_heads") or heads),
            head_dim=int(said.get("head_dim") or int(said["hidden_size"]) // heads),
            tied=bool(said.get("tie_word_embeddings", True)),
            capped=bool(said.get("final_logit_softcapping")),
            bits=int(packed["bits"]) if packed else None,
            group=int(packed.get("group_size", 64)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def trained(shape: Shape, config: Config) -> int:
    """Numbers that learn; norms are left out."""
    if config.method == "full":
        return _layers(shape, config.lora) * shape.of_a_layer
    lora = config.lora
    chosen = CHOSEN[lora.targets] if isinstance(lora.targets, str) else lora.targets
    sizes = [size for name, size in shape.projections.items() if name in chosen]
    lengths = sum(out for _, out in sizes) if config.method == "dora" else 0
    return _layers(shape, lora) * (lora.rank * sum(into + out for into, out in sizes) + lengths)


def memory(
    shape: Shape, config: Config, lengths: Iterable[int], device: Device, cores: int
) -> Memory:
    """At the largest batch that rows of these lengths can make."""
    each = SINGLE if device == "cpu" or config.method == "full" else HALF
    batches = [batch(config, length) for length in set(lengths)]
    kept = [_kept(shape, config, one, device, each) for one in batches]
    # Before the first batch the file's largest matrix lies beside what it becomes.
    loading = shape.words * HALF if device == "cpu" else 0
    # Each core has a gradient of its own; on a GPU there is one.
    copies = BOOKS + (cores if device == "cpu" else 1)
    return Memory(
        weights=_weights(shape, config, each),
        adapter=trained(shape, config) * SINGLE * copies,
        activations=max([loading, *kept]),
        process=PROCESS,
    )


def batch(config: Config, length: int) -> Batch:
    """The most rows of one length that go together."""
    fitting = config.batch_tokens // length if config.batch_tokens else config.batch_size
    return Batch(max(1, min(config.batch_size, fitting)), length)


def work(shape: Shape, config: Config) -> float:
    """Operations for a token: through all layers, and back through those that learn.

    Frozen weights get no gradient of their own, so the way back costs as much as the way there.
    """
    back = _layers(shape, config.lora) / shape.layers
    body = WAY * shape.layers * shape.of_a_layer * (1 + back)
    head = WAY * shape.words * 2 * (1.0 if shape.capped else SUPERVISED)
    # An adapter: there, back, and its own gradient. Weights of the base have that alone.
    own = 1 if config.method == "full" else 3
    return body + head + own * WAY * trained(shape, config)


def tokens(config: Config, lengths: Mapping[int, float]) -> float:
    """That a training reads, of rows by their length. At most, where phases read some of them."""
    once = sum(length * rows for length, rows in lengths.items())
    if config.steps is None:
        phases = sum(phase.epochs for phase in config.phases)
        return once * (phases or config.epochs or 0)
    rows = math.fsum(lengths.values())
    if not rows:
        return 0.0
    mean = once / rows
    return config.steps * config.grad_accumulation * batch(config, max(1, round(mean))).rows * mean


def _layers(shape: Shape, lora: Lora) -> int:
    return shape.layers if lora.layers == "all" else min(lora.layers, shape.layers)


def _weights(shape: Shape, config: Config, each: int) -> int:
    # A scale and an offset for each group; those are numbers like all others.
    if shape.bits is not None:
        return round(shape.parameters * (shape.bits / 8 + 2 * each / shape.group))
    if config.base_bits is None:
        return shape.parameters * each
    layers = shape.layers * shape.of_a_layer
    small = layers * (config.base_bits / 8 + 2 * each / shape.group)
    return round((shape.parameters - layers) * each + small)


def _kept(shape: Shape, config: Config, batch: Batch, device: Device, each: int) -> int:
    learning = _layers(shape, config.lora)
    on_cpu = device == "cpu"
    a_number = KEPT[device]
    if on_cpu and config.lora.dropout and config.method != "full":
        a_number = DROPOUT
    elif not on_cpu and config.method == "dora":
        a_number += TURNED
    layers = learning + IDLE[device] * (shape.layers - learning)
    held = layers * batch.tokens * sum(out for _, out in shape.projections.values())
    seen = (1 if on_cpu else layers) * batch.tokens * batch.length * shape.heads
    logits = batch.tokens * shape.vocabulary * LOGITS
    if not shape.capped:
        # A plain head is worked off by stretches on a CPU, and asked for answers alone on a GPU.
        logits *= 0 if on_cpu and shape.bits is None else SUPERVISED
    return round((held * a_number + seen * SCORES[device]) * each + logits * SINGLE)

"""Which rows go together, in which order. Decided by lengths, seed and epoch; by nothing else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jessy_build.trainers._rows import Row

JITTER = 0.15
"""How far a row's length is shifted before the sort: neighbours differ from epoch to epoch, and
hardly any padding arises."""


@dataclass(frozen=True, slots=True)
class Batch:
    rows: tuple[int, ...]
    """Places in the data set. None at all fills up the last update of an epoch."""
    epoch: int
    share: float
    """What the loss of this batch is multiplied by, so that an update averages over all that its
    batches hold."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Limits of a batch."""

    rows: int
    tokens: int


def group(lengths: Sequence[int], sizes: Sizes, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """All rows, each once, of similar lengths together, in random order."""
    # A text as the seed gives the same order in every Python version.
    chance = random.Random(f"{seed}/{epoch}")
    order = sorted(
        range(len(lengths)), key=lambda i: lengths[i] * chance.uniform(1 - JITTER, 1 + JITTER)
    )
    groups: list[list[int]] = []
    widest = 0
    for i in order:
        width = max(widest, lengths[i])
        if not groups or _full(len(groups[-1]) + 1, width, sizes):
            groups.append([])
            width = lengths[i]
        groups[-1].append(i)
        widest = width
    chance.shuffle(groups)
    return [tuple(one) for one in groups]


def _full(rows: int, width: int, sizes: Sizes) -> bool:
    return rows > sizes.rows or (sizes.tokens > 0 and rows * width > sizes.tokens)


def schedule(
    rows: Sequence[Row],
    sizes: Sizes,
    *,
    average: str,
    accumulation: int,
    seed: int,
    epochs: int | None,
    updates: int | None,
) -> list[Batch]:
    """Every batch of a training, in its order, so that any of them can be the next one."""
    batches: list[Batch] = []
    epoch = 0
    while (epoch < epochs) if epochs else (len(batches) < (updates or 0) * accumulation):
        batches += _epoch(rows, sizes, average, accumulation, seed, epoch)
        epoch += 1
    return batches if epochs else batches[: (updates or 0) * accumulation]


def _epoch(
    rows: Sequence[Row], sizes: Sizes, average: str, accumulation: int, seed: int, epoch: int
) -> list[Batch]:
    groups = group([len(row) for row in rows], sizes, seed, epoch)
    batches: list[Batch] = []
    for at in range(0, len(groups), accumulation):
        update = groups[at : at + accumulation]
        update += [()] * (accumulation - len(update))
        total = sum(weight(rows[i], average) for members in update for i in members)
        batches += [Batch(members, epoch, accumulation / total) for members in update]
    return batches


def weight(row: Row, average: str) -> float:
    """How much a row counts in the average."""
    return float(row.supervised) if average == "token" else 1.0


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch as arrays. `places` are positions of the flattened inputs that have a target."""

    inputs: Any
    places: Any
    targets: Any
    weights: Any
    tokens: int
    """Read by the model, without padding."""
    supervised: int


def pack(rows: Sequence[Row], average: str, share: float = 1.0, multiple: int = 1) -> Packed:
    """Rows padded on the right to one width, a `multiple`; a pad is no target.

    A fixed number of shapes is worth its padding where graphs are compiled for each shape.
    """
    import numpy as np

    width = _up(max((len(row) for row in rows), default=1), multiple)
    inputs: Any = np.zeros((max(len(rows), 1), width), np.int32)
    places: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for at, row in enumerate(rows):
        inputs[at, : len(row)] = row.tokens[:-1]
        weight = share if average == "token" else share / row.supervised
        for place, (token, trained) in enumerate(zip(row.tokens[1:], row.trained[1:], strict=True)):
            if trained:
                places.append(at * width + place)
                targets.append(token)
                weights.append(weight)
    supervised = len(places)
    spare = _up(max(supervised, 1), multiple) - supervised
    return Packed(
        inputs,
        np.array(places + [0] * spare, np.int32),
        np.array(targets + [0] * spare, np.int32),
        np.array(weights + [0.0] * spare, np.float32),
        sum(len(row) for row in rows),
        supervised,
    )


def as_arrays(parts: Sequence[Packed]) -> tuple[Any, Any]:
    """What a loss takes: the parts, and their supervised tokens together."""
    import mlx.core as mx

    arrays = tuple(
        (mx.array(p.inputs), mx.array(p.places), mx.array(p.targets), mx.array(p.weights))
        for p in parts
    )
    return arrays, mx.array(sum(part.supervised for part in parts))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple

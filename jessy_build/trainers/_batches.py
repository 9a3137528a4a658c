"""Which rows go together, in which order. Decided by lengths, seed and epoch; by nothing else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

from jessy_build.trainers._rows import Row

PADDING = 0.05
"""The share of what a pass reads that may be padding, where batches can be had that hold it."""
FEW = 16
"""Batches of a pass that are not split up for less padding: there is little to save, and an update
would hold much less than was asked for."""
MORE = 3
"""One batch more for each so many is a fair price for less padding."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """How unlike rows in one batch may be."""

    jitter: float
    """How far a row's length is shifted before the sort, so that neighbours differ from epoch to
    epoch."""
    padding: float = 1.0
    """The share of one batch that may be padding."""


TRIES = (
    Mixing(0.15),
    Mixing(0.02),
    *(Mixing(0.02, most) for most in (0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.07, 0.06, 0.05)),
)
"""From the most mixed on, until a pass holds so little padding."""


@dataclass(frozen=True, slots=True)
class Batch:
    rows: tuple[int, ...]
    """Places in the data set. None at all fills up the last update of an epoch."""
    epoch: int
    share: float
    """What the loss of this batch is multiplied by, so that an update averages over all that its
    batches hold."""
    passed: float = 0.0
    """Passes over the rows, once this batch is read."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Limits of a batch."""

    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of which every batch holds some."""

    places: tuple[int, ...]
    count: int
    """In each batch, at least."""
    all: bool = True
    """Whether each of them is read in a pass, also when that takes more batches."""


def group(
    lengths: Sequence[int], sizes: Sizes, seed: int, epoch: int, held: Sequence[Held] = ()
) -> list[tuple[int, ...]]:
    """All rows, each once, of similar lengths together, in random order. Those that are held may
    come again, in turn, until every batch has as many as it shall."""
    found: list[list[tuple[int, ...]]] = []
    for mixing in TRIES:
        # What is held makes batches wide, however alike the others are.
        if mixing.padding < 1 and (held or len(found[0]) < FEW):
            break
        groups = _mixed(lengths, sizes, f"{seed}/{epoch}", mixing, held)
        if found and len(groups) > len(found[0]) + len(found[0]) // MORE:
            break
        found.append(groups)
        if padding(groups, lengths) <= PADDING:
            return groups
    return min(found, key=lambda groups: padding(groups, lengths))


def padding(groups: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The share of what is read that is no row's."""
    read = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    return 1 - sum(lengths[i] for group in groups for i in group) / read if read else 0.0


def _mixed(
    lengths: Sequence[int], sizes: Sizes, seed: str, mixing: Mixing, held: Sequence[Held]
) -> list[tuple[int, ...]]:
    # A text as the seed gives the same order in every Python version.
    chance = random.Random(seed)
    low, high = 1 - mixing.jitter, 1 + mixing.jitter
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * chance.uniform(low, high))
    if not held:
        groups = _filled(order, lengths, sizes, [], mixing.padding)
    else:
        turns = [(chance.sample(one.places, len(one.places)), one) for one in held]
        groups = _with_held(order, lengths, sizes, turns)
    chance.shuffle(groups)
    return [tuple(one) for one in groups]


Pools = Sequence[tuple[Sequence[int], int]]
"""Rows in the order in which batches take them, round and round; and how many each takes."""


def _with_held(
    order: Sequence[int],
    lengths: Sequence[int],
    sizes: Sizes,
    held: Sequence[tuple[list[int], Held]],
) -> list[list[int]]:
    beside = {i for turns, _ in held for i in turns}
    others = [i for i in order if i not in beside]
    groups = _filled(others, lengths, sizes, [(turns, one.count) for turns, one in held])
    # What the batches have not come round to is spread over them like any other row.
    left, pools = set[int](), []
    for turns, one in held:
        used = min(len(turns), max(1, len(groups)) * one.count)
        left |= set(turns[used:]) if one.all else set()
        pools.append((turns[:used], one.count))
    if not left:
        # Where there is nothing but such rows, they are a batch by themselves.
        return groups or [[i for turns, n in pools for i in islice(cycle(turns), n)]]
    others = [i for i in order if i not in beside or i in left]
    return _filled(others, lengths, sizes, pools)


def _filled(
    order: Sequence[int], lengths: Sequence[int], sizes: Sizes, held: Pools, most: float = 1.0
) -> list[list[int]]:
    turns = [(cycle(pool), count) for pool, count in held if pool]
    groups: list[list[int]] = []
    widest = read = 0
    for i in order:
        width = max(widest, lengths[i])
        rows = len(groups[-1]) + 1 if groups else 0
        padded = rows * width - read - lengths[i] > most * rows * width
        if not groups or padded or _full(rows, width, sizes):
            groups.append([next(pool) for pool, count in turns for _ in range(count)])
            width = max([lengths[i], *(lengths[j] for j in groups[-1])])
            read = sum(lengths[j] for j in groups[-1])
        groups[-1].append(i)
        widest = width
        read += lengths[i]
    return groups


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
    held: Sequence[Held] = (),
    first_epoch: int = 0,
) -> list[Batch]:
    """Every batch of a training, in its order, so that any of them can be the next one."""
    batches: list[Batch] = []
    epoch = 0
    while (epoch < epochs) if epochs else (len(batches) < (updates or 0) * accumulation):
        groups = group([len(row) for row in rows], sizes, seed, first_epoch + epoch, held)
        batches += _epoch(groups, rows, average, accumulation, first_epoch + epoch)
        epoch += 1
    return batches if epochs else batches[: (updates or 0) * accumulation]


def _epoch(
    groups: Sequence[tuple[int, ...]],
    rows: Sequence[Row],
    average: str,
    accumulation: int,
    epoch: int,
) -> list[Batch]:
    batches: list[Batch] = []
    every, read = sum(map(len, groups)), 0
    for at in range(0, len(groups), accumulation):
        update = list(groups[at : at + accumulation])
        update += [()] * (accumulation - len(update))
        total = sum(weight(rows[i], average) for members in update for i in members)
        for members in update:
            read += len(members)
            batches.append(Batch(members, epoch, accumulation / total, epoch + read / every))
    return batches


def cut(batch: Batch, pieces: int) -> list[Batch]:
    """The same rows in several batches, of which an update then reads as many times more."""
    share = batch.share * pieces
    return [replace(batch, rows=some, share=share) for some in divide(batch.rows, pieces)]


def divide(rows: tuple[int, ...], pieces: int) -> list[tuple[int, ...]]:
    """Neighbours stay together, since they are of similar lengths. The last piece takes the fewest:
    the longest mostly stand there. Where rows are few, it has none."""
    size = -(-len(rows) // pieces)
    return [rows[size * n : size * (n + 1)] for n in range(pieces)]


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

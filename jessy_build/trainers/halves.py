"""Out of memory: once a training goes on with half batches, and then it is said what to lower."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import StepError
from jessy_build.trainers._death import RESUMES, OutOfMemory
from jessy_build.trainers.config import NOT_TRAINED, Config

NAME = "half-batches.json"
"""In the work folder: the next build of a killed one must not run out of memory again first."""
PIECES = 2


@dataclass(frozen=True, slots=True)
class Halved:
    """From where on each batch is read in two halves. The updates stay those of the recipe."""

    step: int
    """Updates that were made when memory ran out."""
    accumulation: int
    """Batches in one update from then on."""


@dataclass(frozen=True, slots=True)
class Fullest:
    """The batch that takes the most memory, as it is read: of a halved one, its larger half."""

    rows: int
    longest: str
    """The id of its longest row."""
    tokens: int
    """Of that one."""


@dataclass(slots=True)
class Heard:
    """What a child has said before it died."""

    done: int = 0
    total: int = 0
    fullest: Fullest | None = None
    """None before it came to train."""
    device: str = ""


def in_words(halved: Mapping[str, Any]) -> str:
    accumulation = halved["accumulation"]
    return (
        f"out of memory after step {halved['step']}: went on with half batches and twice the "
        f"accumulation ({accumulation // PIECES} → {accumulation})"
    )


def kept(work: Path, config: Config) -> Halved | None:
    """What an earlier attempt at this very training found out."""
    try:
        known = json.loads((work / NAME).read_text("utf-8"))
        if known["config"] != _trained(config):
            return None
        return Halved(int(known["step"]), PIECES * config.grad_accumulation)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(work: Path, config: Config, step: int) -> Halved:
    half_made = work / f".{NAME}"
    half_made.write_text(json.dumps({"step": step, "config": _trained(config)}), "utf-8")
    half_made.replace(work / NAME)
    return Halved(step, PIECES * config.grad_accumulation)


def may_help(heard: Heard) -> bool:
    """Not where the base was not even loaded, nor where one row takes the most."""
    return heard.fullest is not None and heard.fullest.rows >= PIECES


def given_up(died: OutOfMemory, config: Config, heard: Heard, halved: Halved | None) -> StepError:
    """What would need less memory, in the order in which it should be tried."""
    again = ", with half batches, too" if halved else ""
    moves = "; or ".join([*_moves(config, heard), "close other programs"])
    return StepError(
        f"training ran out of memory{again}: {died.said}",
        hint=f"{moves}. With the recipe as it is, {RESUMES}" if heard.done else moves,
        log=died.log,
    )


def _moves(config: Config, heard: Heard) -> Iterator[str]:
    if heard.fullest is None:
        yield "take a smaller base, since this one was not even loaded"
        return
    if config.lora.rank > 1:
        yield f"lower train.lora.rank (now {config.lora.rank})"
    if heard.fullest.rows == 1:
        yield (
            f"shorten or drop row {heard.fullest.longest}, which is read alone: its "
            f"{heard.fullest.tokens} tokens take the most (train.max_seq_length, now "
            f"{config.max_seq_length}, refuses longer ones)"
        )
    elif config.batch_tokens:
        yield f"lower train.batch_tokens (now {config.batch_tokens})"
    else:
        yield f"lower train.batch_size (now {config.batch_size})"
    if heard.device != "cpu" and not config.grad_checkpoint:
        yield "set train.grad_checkpoint: true"


def _trained(config: Config) -> Any:
    return config.model_dump(mode="json", exclude=dict(NOT_TRAINED))

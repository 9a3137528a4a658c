"""tokens: each row as the base reads it, before anything is trained. What training would refuse is
told at once, all rows of it; else the data set is let through, byte for byte.

So another version of this step trains nothing again: what training reads is the same.
"""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step
from jessy_build.steps.items import Picked

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.steps.unfit import Refused

name = "tokens"
version = 1
holds = always

FILES = ("train.jsonl", "valid.jsonl")
EVERY = 500
"""Rows between two words of progress."""


def expand(loaded: "LoadedRecipe", generating: Sequence[Step]) -> list[Step]:
    most = loaded.recipe.train.max_seq_length
    return [
        Step(
            name,
            name,
            version,
            {"max_seq_length": most},
            {"base": "convert", "dataset": "assemble"},
            span=loaded.span_of("train"),
            # Called only where a row is refused, so that a plan looks for no places.
            payload=partial(_places, [step.payload for step in generating]),
            about={"train": {"max_seq_length": most}},
        )
    ]


def _places(payloads: Sequence[Any]) -> Mapping[str, Sequence[str]]:
    """Id → where the curated rows that have it are written: several, where they ask the same."""
    found: dict[str, list[str]] = {}
    for picked in payloads:
        if isinstance(picked, Picked):
            for example in picked.examples():
                source = example.origin.source
                # A row begins where its line does; one in a list has a number and no line.
                where = f"{source}:1" if source.rpartition(":")[2].isdigit() else source
                found.setdefault(example.id, []).append(where)
    return found


def run(job: Job) -> Facts:
    from jessy_build.steps import unfit
    from jessy_build.trainers import _rows

    reader = unfit.Reader(job.inputs["base"], job.step.params["max_seq_length"])
    refused: list[Refused] = []
    rows = tokens = supervised = 0
    longest: dict[str, Any] = {"row": None, "tokens": 0}
    for file in FILES:
        for _, entry in _rows.entries(job.inputs["dataset"] / file):
            read = reader.read(entry)
            if isinstance(read, unfit.Refused):
                refused.append(read)
            else:
                tokens += len(read.tokens)
                supervised += read.supervised
                if len(read.tokens) > longest["tokens"]:
                    longest = {"row": read.id, "tokens": len(read.tokens)}
            rows += 1
            if rows % EVERY == 0:
                if job.cancelled():
                    raise KeyboardInterrupt
                job.progress(rows, unit="rows", text=f"{len(refused)} refused" if refused else "")
    if refused:
        raise unfit.told(refused, rows, job.step.payload(), job.work / "refused.txt")
    for file in FILES:
        shutil.copyfile(job.inputs["dataset"] / file, job.out / file)
    return {"rows": rows, "tokens": tokens, "supervised": supervised, "longest": longest}


def summary(facts: Facts) -> str:
    learned = facts["supervised"] / facts["tokens"] if facts["tokens"] else 0
    longest = facts["longest"]["tokens"]
    return f"{facts['tokens']:,} tokens, {learned:.0%} learned, the longest row {longest:,}"

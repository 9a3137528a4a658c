"""The curve of a training as JSON lines: for `tail -f` while it runs, and for other programs."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

NAME = "metrics.jsonl"
REPORT = (
    *("step", "epoch", "loss", "learning_rate", "tokens_per_second"),
    *("memory", "gpu_utilization", "seconds"),
)
LOOK = {"step": "step", "epoch": "epoch", "loss": "valid_loss", "seconds": "seconds"}
"""Of a validation → what it is called in its line."""


def report(point: Mapping[str, Any]) -> str:
    return _line({name: point[name] for name in REPORT if point.get(name) is not None})


def look(validation: Mapping[str, Any]) -> str:
    return _line({word: validation[name] for name, word in LOOK.items() if name in validation})


def text(curve: Iterable[Mapping[str, Any]], validation: Iterable[Mapping[str, Any]]) -> str:
    """All lines in the order in which they came about: a step is looked at after it is made."""
    reports = [(point["step"], 0, report(point)) for point in curve]
    looks = [(seen["step"], 1, look(seen)) for seen in validation]
    return "".join(line for _, _, line in sorted(reports + looks))


def begin(folder: Path | None, known: str) -> IO[str]:
    """The file with what the checkpoint knows, open for what comes; each line is there at once.

    A child of a killed build may still be writing: the file is replaced, so that what that one
    says goes nowhere. So does all that is said without a folder.
    """
    if folder is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    fresh = folder / f".{NAME}.{os.getpid()}"
    file = fresh.open("w", encoding="utf-8", buffering=1)
    file.write(known)
    file.flush()
    fresh.replace(folder / NAME)
    return file


def _line(fields: Mapping[str, Any]) -> str:
    """JSON has no word for a loss that is no number."""
    told = {name: value if math.isfinite(value) else None for name, value in fields.items()}
    return json.dumps(told) + "\n"

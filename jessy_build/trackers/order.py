"""What a tracker is told of a training before its first point, and what it keeps for a retry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

Line = Mapping[str, float]
"""Of metrics.jsonl, less what is no number."""
State = Literal["finished", "failed", "stopped"]
"""How a training ended. One that was stopped goes on some day."""


@dataclass(frozen=True, slots=True)
class Order:
    kind: str
    config: Mapping[str, Any]
    """The block of the recipe. Paths in it are absolute."""
    key: str
    """Of the action: the same training has the same, however often it is begun."""
    title: str
    """The recipe's name and version."""
    params: Mapping[str, Any]
    """What the recipe says of the training, by dotted field."""
    metrics: str
    """The file that grows while it trains."""
    work: str
    """Scratch that another try at the same training finds again."""
    folder: str
    """Where a service may leave files for people."""
    offline: bool
    """Nothing may leave this machine."""
    patience: float = 30.0
    """Seconds for what is left to tell once the training is over."""

    @property
    def run(self) -> str:
        """A short name that no other training has."""
        return self.key[:12]

    @property
    def memory(self) -> Path:
        return Path(self.work, f"{self.kind}.json")


@dataclass(slots=True)
class Memory:
    """What one attempt leaves for the next, so that no point is told twice."""

    file: Path
    told: int = 0
    """Lines of the metrics, from the first one on: a resumed training writes the same again."""
    run: str = ""
    """What the service calls the run."""

    @classmethod
    def of(cls, file: Path) -> Self:
        return cls(file, **(json.loads(file.read_text()) if file.exists() else {}))

    def save(self) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"told": self.told, "run": self.run}))
        fresh.replace(self.file)


def curves(line: Line) -> dict[str, float]:
    """The figures that are a curve each. Of a look at the validation rows its loss alone: epoch and
    seconds of that step stand in its report."""
    if "valid_loss" in line:
        return {"valid_loss": line["valid_loss"]}
    return {name: value for name, value in line.items() if name != "step"}

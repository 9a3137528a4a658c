"""What differs between two versions of a model, as plain data. `jessy diff --json` prints it.

Only values in, values out: where they come from is `steps.sides`, how they look `steps.compare`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["recipe", "revision", "build", "lock", "ollama"]
Relation = Literal["changed", "behind", "added", "removed", "shared", "unknown"]
Verdict = Literal["better", "worse", "no difference shown", "same", "not comparable", "changed"]


@dataclass(frozen=True)
class Named:
    """One of the two sides."""

    name: str
    """As it was typed."""
    kind: Kind
    model: str
    """Name and version of the model, where they are known."""


@dataclass(frozen=True)
class Field:
    """A field of the recipe."""

    group: str
    """What the field is about, in the order in which a persona is made."""
    field: str
    old: Any
    new: Any
    where: str = ""
    """`file:line` where it stands now; empty where no recipe is at hand."""
    lines: tuple[str, ...] = ()
    """Of a changed text: its lines, each with `+ `, `- ` or two spaces before it."""


@dataclass(frozen=True)
class StepChange:
    step: str
    relation: Relation
    """`changed` by itself, `behind` a step that changed, or `shared`: one artifact serves both."""
    because: str
    decision: str = ""
    """What a build of the right side would do with it now: run, may run or cached. Empty where
    the right side is nothing that can be built."""


@dataclass(frozen=True)
class Cell:
    """Rows of one topic, language and level; a label is '' where rows do not say it."""

    topic: str
    language: str
    level: str
    old: int
    new: int


@dataclass(frozen=True)
class Sample:
    """One item: what was asked, and the answers. None on the side that lacks it."""

    id: str
    question: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Items:
    """Items by their ids, which name what is asked: another answer keeps its id."""

    of: str
    """Which rows were compared: those that passed validation, or all that were generated."""
    added: int
    removed: int
    changed: int
    samples: Mapping[str, tuple[Sample, ...]]
    """A few of those added, removed and changed."""


@dataclass(frozen=True)
class Category:
    category: str
    old: int | None
    """Rows; None where the category or its rows are not known."""
    new: int | None
    cells: tuple[Cell, ...] = ()
    items: Items | None = None
    unknown: str = ""
    """Why items could not be compared."""


@dataclass(frozen=True)
class File:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Product:
    """A file that a version is made of."""

    name: str
    old: File | None
    new: File | None


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    old: float | None
    new: float | None
    verdict: Verdict
    """Fewer is better for losses, tokens and seconds; more for answers that end by themselves."""
    difference: float | None = None
    """Mean of new − old over the same prompts."""
    low: float | None = None
    """The 95 % interval of that mean: a paired bootstrap over the prompts."""
    high: float | None = None
    pairs: int | None = None
    """How many prompts both sides answered."""
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """Of the answers that are in the data set, whenever and by whichever build they were asked."""

    category: str
    """`total` for all of them."""
    measure: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Diff:
    """Sections hold only what differs, unless all was asked for."""

    format: Literal[2]
    left: Named
    right: Named
    same: bool
    notes: tuple[str, ...] = ()
    """What could not be compared, and why; what else a reader should know."""
    fields: tuple[Field, ...] = ()
    steps: tuple[StepChange, ...] = ()
    shared: int = 0
    """Steps whose one artifact serves both sides."""
    categories: tuple[Category, ...] = ()
    artifacts: tuple[Product, ...] = ()
    metrics: tuple[Metric, ...] = ()
    cost: tuple[Cost, ...] = ()
    served: tuple[Field, ...] = ()
    """What an Ollama server tells of a model."""

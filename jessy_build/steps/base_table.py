"""bases: the known bases beside each other, with what each takes to train on this machine.

Nothing is fetched for it. One is recommended: the largest that is done soon and leaves room.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jessy_build import settings as machine
from jessy_build import units
from jessy_build.bases.known import KNOWN, Known
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.store import Store
from jessy_build.steps import rows_ahead, training
from jessy_build.steps.here import Device
from jessy_build.steps.training import Machine, Training
from jessy_build.trainers import estimate
from jessy_build.trainers.config import Config

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.steps.builds import Workspace

USUAL: Mapping[int, float] = {100: 1000}
"""The rows of no recipe: a thousand of a hundred tokens."""
ROOM = 0.8
"""Share of the memory that a recommended base leaves to nobody else."""
SOON = 2 * 3600.0
"""Seconds that a recommended base takes at most."""
HEADERS = ("base", "parameters", "licence", "memory", "time", "fits", "model")


@dataclass(frozen=True)
class Entry:
    name: str
    model: str
    """`base.model` of a recipe. One from a hub needs a `revision`, too: the commit you want."""
    sha256: str | None
    """`base.sha256`, for one that is pinned by it."""
    chat_template: str | None
    """`base.chat_template`, for one that brings none."""
    license: str
    english_only: bool
    training: Training


@dataclass(frozen=True)
class Document:
    """What `bases --json` prints."""

    format: Literal[1]
    recipe: str | None
    """Whose rows and settings are meant. Null: a thousand rows of a hundred tokens."""
    rows: int
    tokens: float
    """That go through the model, over all epochs."""
    device: Device
    cores: int
    memory: int | None
    """Bytes of this machine, or JESSY_MEMORY. Null: a card's own, which nobody asked."""
    bases: tuple[Entry, ...]
    """From small to large."""
    recommended: str | None
    """The name of one."""
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is to be trained."""

    config: Config
    rows: Mapping[int, float]
    english: bool = False
    """Nothing else is spoken."""
    recipe: str | None = None


def usual() -> Document:
    """Of no recipe."""
    here = machine.load(Path("recipe.yaml"))
    # To ask makes no store.
    trained = Store(here.store).ledger.newest("train") if here.store.is_dir() else []
    return _document(Wanted(Config(), USUAL), training.this(here), trained)


def of(workspace: "Workspace") -> Document:
    made = workspace.decisions().get("assemble")
    wanted = Wanted(
        config=workspace.loaded.recipe.train,
        rows=rows_ahead.made(made, workspace.store) or workspace.rows_ahead,
        english=_english(workspace.loaded),
        recipe=workspace.id,
    )
    trained = workspace.store.ledger.newest("train")
    return _document(wanted, training.this(workspace.settings), trained)


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)


def _document(wanted: Wanted, on: Machine, trained: Sequence[Artifact]) -> Document:
    earlier = training.of_this_machine(trained)
    # Quantised weights cannot learn.
    able = [k for k in KNOWN if wanted.config.method != "full" or "quantization" not in k.config]
    entries = tuple(_entry(known, wanted, on, earlier) for known in able)
    best, reason = recommended(entries, on, wanted.english)
    return Document(
        format=1,
        recipe=wanted.recipe,
        rows=round(sum(wanted.rows.values())),
        tokens=estimate.tokens(wanted.config, wanted.rows),
        device=on.device,
        cores=on.cores,
        memory=on.memory,
        bases=entries,
        recommended=best.name if best else None,
        reason=reason,
    )


def _entry(known: Known, wanted: Wanted, on: Machine, earlier: Sequence[Artifact]) -> Entry:
    shape = estimate.shape(known.config)
    assert shape is not None, "every row of the table says all that is needed"
    rate = training.rate(shape, earlier, on)
    return Entry(
        known.name,
        known.model,
        known.sha256,
        known.chat_template,
        known.license,
        known.english_only,
        training.by_shape(shape, wanted.config, wanted.rows, on, rate),
    )


def _english(loaded: "LoadedRecipe") -> bool:
    spoken = [category.languages for category in loaded.recipe.categories.values()]
    return all(languages is not None and set(languages) == {"en"} for languages in spoken)


def recommended(entries: Sequence[Entry], on: Machine, english: bool) -> tuple[Entry | None, str]:
    """One of them, and why it is that one; or why it is none."""
    if on.memory is None:
        return None, "a card has memory of its own: JESSY_MEMORY=80GB says how much"
    able = [one for one in entries if english or not one.english_only]
    roomy = [one for one in able if (one.training.memory or 0) <= ROOM * on.memory]
    if not roomy:
        least = min(one.training.memory or 0 for one in able)
        return None, f"the smallest takes {units.size(least)}, and here are {units.size(on.memory)}"
    soon = [one for one in roomy if (one.training.seconds or 0) <= SOON]
    if not soon:
        first = min(roomy, key=lambda one: one.training.seconds or 0)
        none = "none" if english else "none that knows more than English"
        return first, f"{none} is trained in {units.duration(SOON)} here; this one is done first"
    best = max(soon, key=lambda one: one.training.parameters or 0)
    return best, (
        f"the largest that leaves a fifth of the memory free and is trained in "
        f"{units.duration(SOON)}" + ("" if english else ", and knows more than English")
    )


# In words


def lines(document: Document) -> Iterator[str]:
    has = "memory unknown" if document.memory is None else f"{units.size(document.memory)} memory"
    of = document.recipe or "1000 rows of 100 tokens"
    tokens = units.parameters(round(document.tokens))
    yield f"To train on this machine ({document.device}, {document.cores} cores, {has}): {of},"
    yield f"{tokens} tokens over all epochs. Estimated, nothing was fetched."


def table(document: Document) -> Iterator[tuple[str, ...]]:
    for one in document.bases:
        known = one.training
        yield (
            one.name,
            units.parameters(known.parameters or 0),
            one.license,
            units.size(known.memory or 0),
            units.duration(known.seconds or 0),
            {True: "yes", False: "no", None: "?"}[known.fits],
            "below" if one.sha256 else one.model,
        )


def closing(document: Document) -> Iterator[str]:
    """How they are written, and which one to take."""
    yield "In a recipe, `base:` says `model` and, of those from a hub, `revision`: its commit."
    yield "Those from a package are whole with:"
    for one in document.bases:
        if one.sha256:
            yield f"  # {one.name}"
            yield f"  base: {{model: {one.model!r}, sha256: {one.sha256}, " + (
                f"chat_template: {one.chat_template}}}"
            )
    if document.recommended is None:
        yield f"None is recommended: {document.reason}."
    else:
        yield f"Recommended: {document.recommended}: {document.reason}."

"""What a training will take on this machine, said before anything is fetched, asked or trained.

Its base's config.json tells the memory, earlier trainings tell the time; what neither tells is
unknown. A training that cannot fit is refused, since a build would find that out hours later.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import bases, units
from jessy_build.bases import known
from jessy_build.diagnostics import Diagnostic, RecipeError, code
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Decision, Reuse
from jessy_build.hosts import HERE
from jessy_build.plan.step import Plan, Step
from jessy_build.settings import Settings
from jessy_build.steps import here, rows_ahead
from jessy_build.steps.typed import command
from jessy_build.trainers import estimate
from jessy_build.trainers.config import Config
from jessy_build.trainers.estimate import Memory, Shape

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

NO_ROOM = code("M001", "a training does not fit into the memory of this machine")

RATES: Mapping[here.Device, float] = {"cpu": 15e9, "metal": 1e12, "cuda": 20e12}
"""Operations a second where nothing was ever trained: of a core, of a small chip, of a card. Less
than most reach, so that who waits is rather surprised by an early end."""
CONFIG = "config.json"
PACKED = 1e9
"""Of a core, where all weights are quantised: no fast product with a head of those is known for a
CPU. The 0.6B of Qwen 3 was slower than that when it was tried."""
PACE = ("method", "base_bits")
"""Fields that a training's speed depends on, beside its base."""
SAME = (*PACE, "lora", "batch_size", "batch_tokens", "max_seq_length")
"""Fields that a training's memory depends on, beside its rows."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training takes. Null: that cannot be known."""

    parameters: int | None = None
    """Of the base, norms left out."""
    trainable: int | None = None
    """Numbers that learn."""
    memory: int | None = None
    """Bytes at the fullest moment."""
    parts: Memory | None = None
    """What holds them, by the shape of the base. Null where they were measured."""
    machine: int | None = None
    """Bytes that this machine has, or JESSY_MEMORY."""
    fits: bool | None = None
    tokens: float | None = None
    """That go through the model, over all epochs."""
    tokens_per_second: float | None = None
    seconds: float | None = None
    basis: str = ""
    """What the figures come from."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it would run."""

    device: here.Device
    cores: int
    memory: int | None
    processes: int = 1
    """That train together, on this and other machines."""
    beside: int = 1
    """Of these, on this machine: they share its cores and its memory."""

    @property
    def kind(self) -> estimate.Device:
        return "cpu" if self.device == "cpu" else "gpu"

    def rate(self, shape: Shape) -> float:
        """Operations a second that it should reach with such a base."""
        if self.device != "cpu":
            return RATES[self.device]
        return self.cores * (RATES["cpu"] if shape.bits is None else PACKED)


def this(settings: Settings) -> Machine:
    hosts = settings.distributed or (HERE,)
    memory = here.memory(settings)
    return Machine(here.device(), here.cores(), memory, len(hosts), hosts.count(HERE))


def of(workspace: "Workspace", decisions: Mapping[str, Decision], step: Step) -> Training:
    """Of the train step of a plan."""
    config: Config = step.payload.config
    on = this(workspace.settings)
    found = shape(workspace, decisions)
    rows = rows_ahead.made(decisions.get("assemble"), workspace.store) or workspace.rows_ahead
    newest = of_this_machine(workspace.store.ledger.newest("train"))
    earlier = [a for a in newest if a.facts.get("processes", 1) == on.processes]
    known = Training(machine=on.memory)
    if found is not None:
        known = by_shape(found, config, rows, on, rate(found, earlier, on))
    before = _alike(workspace, decisions, earlier, config)
    return known if before is None else _measured(known, config, rows, before, on)


def by_shape(
    shape: Shape, config: Config, rows: Mapping[int, float], on: Machine, rate: "Rate"
) -> Training:
    """From the numbers of a base alone, and how fast this machine is."""
    parts = estimate.memory(shape, config, rows, on.kind, max(1, on.cores // on.beside))
    parts = parts.times(on.beside)
    tokens = estimate.tokens(config, rows)
    speed = rate.operations / estimate.work(shape, config)
    return Training(
        parameters=shape.parameters,
        trainable=estimate.trained(shape, config),
        memory=parts.total,
        parts=parts,
        machine=on.memory,
        fits=_fits(parts.total, on.memory),
        tokens=tokens,
        tokens_per_second=speed,
        seconds=tokens / speed,
        basis=rate.basis,
    )


@dataclass(frozen=True, slots=True)
class Rate:
    operations: float
    """A second."""
    basis: str


def rate(shape: Shape, earlier: Iterable[Artifact], on: Machine) -> Rate:
    """As fast as the last training of such weights was here, on whatever base; or slow, where there
    was none."""
    for artifact in earlier:
        said = artifact.facts.get("estimate") or {}
        if said.get("work") and said["packed"] is (shape.bits is not None):
            operations = said["work"] * artifact.facts["tokens_per_second"]
            return Rate(operations, "the shape of the base, and the speed of another one here")
    return Rate(on.rate(shape), "the shape of the base; the time is a rough guess")


def before(model: Path, dataset: Path, config: Config) -> dict[str, Any]:
    """What is said of a training that begins now, to be held against what it took."""
    found = _read(model / CONFIG)
    if found is None:
        return {}
    rows = rows_ahead.in_file(dataset / rows_ahead.TRAIN)
    kind: estimate.Device = "cpu" if here.device() == "cpu" else "gpu"
    memory = estimate.memory(found, config, rows, kind, here.cores()).total
    work = estimate.work(found, config)
    return {"memory": memory, "work": work, "packed": found.bits is not None}


def shape(workspace: "Workspace", decisions: Mapping[str, Decision]) -> Shape | None:
    """Of the base as it lies in the store, or in its folder, or in the table of known ones."""
    made = decisions.get("convert")
    if isinstance(made, Reuse):
        digest, _ = made.artifact.tree.get(CONFIG, ("", 0))
        if digest and (found := _read(workspace.store.object(digest))) is not None:
            return found
    model = workspace.loaded.recipe.base.model
    source = bases.parse(model)
    if source.kind == "path":
        return _read(workspace.loaded.origin("base.model") / source.fields["path"] / CONFIG)
    listed = known.named(model)
    return estimate.shape(listed.config) if listed else None


def _read(file: Path) -> Shape | None:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return estimate.shape(said) if isinstance(said, dict) else None


def of_this_machine(trainings: Iterable[Artifact]) -> list[Artifact]:
    """Those of this machine: a shared store brings others along."""
    return [a for a in trainings if a.facts.get("machine", {}).get("cpu") == here.cpu()]


def _alike(
    workspace: "Workspace",
    decisions: Mapping[str, Decision],
    earlier: Iterable[Artifact],
    config: Config,
) -> Artifact | None:
    """The last one that trained the same base in the same way."""
    made = decisions.get("convert")
    if not isinstance(made, Reuse):
        return None
    base = workspace.store.digest(made.artifact)
    on_it = (a for a in earlier if a.preimage["inputs"].get("base") == base)
    return next((a for a in on_it if _same(a, config, PACE)), None)


def _same(earlier: Artifact, config: Config, fields: Iterable[str]) -> bool:
    then, now = earlier.preimage["params"], config.decisive()
    return all(now.get(name) == then.get(name) for name in fields)


def _measured(
    known: Training, config: Config, rows: Mapping[int, float], earlier: Artifact, on: Machine
) -> Training:
    """Time from the speed that this base was trained at. Memory is what it was, if what it depends
    on is as it was then; else it stays as the shape tells it."""
    facts = earlier.facts
    each = facts["tokens"] / max(facts["rows"] * facts["epochs"], 1)
    count = sum(rows.values())
    # By the tokens that its rows really had: letters tell them less well.
    tokens = estimate.tokens(config, {round(each): count}) if count else 0.0
    around = max(earlier.seconds - facts["seconds"], 0)
    seconds = around + tokens / facts["tokens_per_second"] * _looking(facts)
    # With half batches it took less than the recipe's own would have.
    alike = not facts.get("halved") and _same(earlier, config, SAME)
    measured = facts["peak_memory"] * on.beside
    memory = measured if alike or known.memory is None else known.memory
    return replace(
        known,
        memory=memory,
        parts=None if memory == measured else known.parts,
        fits=_fits(memory, known.machine),
        tokens=tokens,
        tokens_per_second=facts["tokens_per_second"],
        seconds=seconds,
        basis="the last training on this base",
    )


def _looking(facts: Mapping[str, Any]) -> float:
    """How much longer it took than the training rows did: validation rows are looked at, too."""
    training = facts["tokens"] / max(facts["tokens_per_second"], 1e-9)
    return max(facts["seconds"] / training, 1.0) if training else 1.0


def _fits(memory: int | None, machine: int | None) -> bool | None:
    return None if memory is None or machine is None else memory <= machine


# A refusal


def refuse(workspaces: Sequence["Workspace"], until: str | None = None) -> None:
    """RecipeError for each training that would run here, and cannot fit."""
    problems = [d for one in workspaces for d in _problems(one, until)]
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))


def _problems(workspace: "Workspace", until: str | None) -> Iterator[Diagnostic]:
    planned: Plan = workspace.until(until)
    step = next((step for step in planned if step.kind == "train"), None)
    if step is None:
        return
    decisions = workspace.decisions(until)
    if isinstance(decisions[step.name], Reuse):
        return
    known = of(workspace, decisions, step)
    # What computing layers twice saves on a GPU was never measured.
    if known.fits is False and not (step.payload.config.grad_checkpoint and here.device() != "cpu"):
        yield _no_room(workspace, step, known)


def _no_room(workspace: "Workspace", step: Step, known: Training) -> Diagnostic:
    assert known.memory is not None and known.machine is not None
    given = "JESSY_MEMORY gives" if workspace.settings.memory is not None else "this machine has"
    return Diagnostic(
        NO_ROOM,
        step.span or workspace.loaded.span_of("train"),
        "train",
        f"the training takes about {units.size(known.memory)} of memory, and {given} "
        f"{units.size(known.machine)}",
        expected=f"at most {units.size(known.machine)}",
        got=in_parts(known),
        hint=_smaller(known, step.payload.config),
    )


def in_parts(known: Training) -> str:
    if known.parts is None or known.memory is None:
        return f"{units.size(known.memory or 0)}, as the last training on this base took"
    parts = known.parts
    return (
        f"{units.size(parts.weights)} weights, {units.size(parts.activations)} for the largest "
        f"batch, {units.size(parts.adapter)} for what learns, {units.size(parts.process)} beside"
    )


def _smaller(known: Training, config: Config) -> str:
    """The next move: what is the largest part decides which."""
    anyway = "; JESSY_MEMORY=32GB says that there is more"
    if known.parts is None:
        return f"lower train.batch_tokens, or take a smaller base{anyway}"
    parts, machine = known.parts, known.machine or 0
    if parts.weights + parts.process > machine:
        return f"take a smaller base ({command('bases')} says what they take here){anyway}"
    if parts.adapter > parts.activations and config.method == "full":
        return f"lower train.lora.layers (now {config.lora.layers}), or write method: lora{anyway}"
    if parts.adapter > parts.activations:
        return f"lower train.lora.rank (now {config.lora.rank}){anyway}"
    return (
        f"lower train.batch_tokens (now {config.batch_tokens}), or take a smaller base; a row "
        f"longer than that is a batch alone{anyway}"
    )

"""The sides of a diff in one shape: a recipe, a lock, a build, a git revision, an Ollama model.

Asks no network. What a side cannot know stays unknown, and is said.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import settings as machine
from jessy_build.diagnostics import RecipeError, StepError
from jessy_build.engine.ledger import Artifact, Build
from jessy_build.engine.rebuild import Decision, Rebuilder, Reuse, Run
from jessy_build.engine.store import Store
from jessy_build.plan.diff import Kind
from jessy_build.plan.relations import Known
from jessy_build.plan.step import Step
from jessy_build.recipe.load import load
from jessy_build.recipe.paths import is_lock
from jessy_build.steps import STEPS, blocks, explain, lock_format, revision
from jessy_build.steps import past as pasts
from jessy_build.steps.blocks import Block
from jessy_build.steps.builds import Workspace
from jessy_build.steps.lock_format import Lock

if TYPE_CHECKING:
    from jessy_build.packaging.ollama import Served

BUILD = re.compile(r"build:(\d+)")
REVISION = re.compile(r"(?P<rev>.+):(?P<path>[^:]+\.ya?ml)")
OLLAMA = "ollama:"
TAG = re.compile(r"[\w.-]+(/[\w.-]+)*:[\w.-]+", re.ASCII)
OPTIONAL = frozenset(("evaluate", "score", "select"))
"""Kinds of steps that only a block of the recipe brings about."""
FORMS = "a recipe, a lock file, build:N, REV:path.yaml, or ollama:NAME:TAG"


@dataclass(frozen=True)
class Side:
    name: str
    kind: Kind
    model: str
    store: Store
    config: Mapping[str, Any] | None
    """The recipe as it was resolved; None where only its outcome is known."""
    known: Mapping[str, Known]
    blocks: Mapping[str, Block]
    artifacts: Mapping[str, Artifact]
    """Those that are in the store."""
    workspace: Workspace | None = None
    """Where the side is a recipe that could be built."""
    unpacked: str = ""
    """The folder that a revision was read in; people see the revision's name instead."""
    served: "Served | None" = None
    notes: tuple[str, ...] = ()

    def stopped_before(self, step: str) -> bool:
        """Whether it has no such step since nobody built that far, not since it plans none."""
        if self.workspace is not None or step in self.known:
            return False
        kind, _, category = step.partition(":")
        if self.config is None:
            return True
        if kind == "generate":
            return category in self.config["categories"]
        return kind not in OPTIONAL or self.config.get(kind) is not None

    def where(self, field: str) -> str:
        if self.workspace is None:
            return ""
        loaded = self.workspace.loaded
        if not loaded.says(field.partition(".")[0]):
            return ""
        span = loaded.span_of(field)
        # What was typed on the command line has one line each, and no file to open.
        return span.file if span.file.startswith("--") else f"{self.shown(span.file)}:{span.line}"

    def shown(self, file: str) -> str:
        if not self.unpacked or not file.startswith(self.unpacked):
            return file
        return f"{self.name.rpartition(':')[0]}:{file.removeprefix(self.unpacked).lstrip('/')}"


def pair(left: str, right: str, overrides: Sequence[str]) -> tuple[Side, Side]:
    """Overrides go to one side: the last that is a recipe on disk."""
    on_disk = [_is_recipe(left), _is_recipe(right)]
    stores: dict[Path, Store] = {}
    sides = [
        side(left, overrides if on_disk == [True, False] else (), right, stores),
        side(right, overrides if on_disk[1] else (), left, stores),
    ]
    return _completed(sides[0], sides[1]), _completed(sides[1], sides[0])


def side(text: str, overrides: Sequence[str], other: str, stores: dict[Path, Store]) -> Side:
    """`other` is the other side: builds and models are looked up in its project, if it has one."""
    near = other if Path(other).is_file() else "recipe.yaml"
    if match := BUILD.fullmatch(text):
        return _build(text, int(match[1]), _store(near, stores))
    if text.startswith(OLLAMA):
        return _ollama(text, text.removeprefix(OLLAMA), near, _store(near, stores))
    if Path(text).exists() and is_lock(text):
        return _lock(text, lock_format.read(Path(text), text), _store(text, stores))
    if not Path(text).exists():
        if match := REVISION.fullmatch(text):
            return _revision(text, match["rev"], match["path"], near, stores)
        if TAG.fullmatch(text):
            return _ollama(text, text, near, _store(near, stores))
        if not text.endswith((".yaml", ".yml")):
            raise StepError(f"'{text}' is nothing that can be compared", hint=f"name {FORMS}")
    loaded = load(Path(text), overrides)
    settings = machine.load(loaded.path)
    return _recipe(text, "recipe", Workspace(loaded, settings, _store(text, stores)))


def _is_recipe(text: str) -> bool:
    return Path(text).is_file() and not is_lock(text)


def _store(near: str, stores: dict[Path, Store]) -> Store:
    """One store a folder: two connections to one ledger would only wait for each other."""
    root = machine.load(Path(near)).store
    return stores.setdefault(root, Store(root)) if root not in stores else stores[root]


# Recipes


def _recipe(name: str, kind: Kind, workspace: Workspace) -> Side:
    recipe = workspace.loaded.recipe
    config = recipe.model_dump(mode="json", by_alias=True)
    # Whether a deploy still holds would have to be asked of a server: a diff does not.
    rebuilder = Rebuilder(workspace.store, lambda step, artifact: True, workspace.before())
    decisions = rebuilder.plan(workspace.plan)
    known = {step.name: _decided(step, decisions[step.name], workspace) for step in workspace.plan}
    artifacts = {s: d.artifact for s, d in decisions.items() if isinstance(d, Reuse)}
    return Side(
        name=name,
        kind=kind,
        model=f"{recipe.name} {recipe.version}",
        store=workspace.store,
        config=config,
        known=known,
        blocks=_blocks(artifacts, config, workspace.store),
        artifacts=artifacts,
        workspace=workspace,
    )


def _decided(step: Step, decision: Decision, workspace: Workspace) -> Known:
    said = json.loads(json.dumps([step.params, step.about]))
    known = Known(
        kind=step.kind,
        version=step.version,
        params=said[0],
        about=said[1],
        needs=step.needs,
        decision=explain.word(decision),
    )
    if isinstance(decision, Reuse):
        made = decision.artifact
        output = workspace.store.digest(made)
        return replace(known, key=made.key, inputs=made.preimage["inputs"], output=output)
    if isinstance(decision, Run):
        return replace(known, key=decision.action.key, inputs=decision.action.inputs)
    return known


def _revision(text: str, rev: str, path: str, near: str, stores: dict[Path, Store]) -> Side:
    """Its steps are looked up in this project's store: keys are by content, not by place."""
    store = _store(near, stores)
    if is_lock(path):
        return _lock(text, lock_format.parse(revision.text(rev, path), text), store, "revision")
    with revision.unpacked(rev, path) as (root, recipe):
        try:
            loaded = load(recipe)
        except RecipeError as error:
            raise _renamed(error, str(root), rev) from None
        settings = replace(machine.load(recipe), store=store.root)
        side = _recipe(text, "revision", Workspace(loaded, settings, store))
        return replace(side, unpacked=str(root))


def _renamed(error: RecipeError, root: str, rev: str) -> RecipeError:
    def shown(file: str) -> str:
        return f"{rev}:{file.removeprefix(root).lstrip('/')}" if file.startswith(root) else file

    return RecipeError(
        [replace(d, span=replace(d.span, file=shown(d.span.file))) for d in error.diagnostics]
    )


# What was built


def _build(name: str, number: int, store: Store) -> Side:
    builds = store.ledger.builds()
    for build in builds:
        if build.id == number:
            return _built(name, "build", build, store)
    known = ", ".join(f"build:{build.id}" for build in builds[:5])
    raise StepError(
        f"there is no build {number} in {store.root}",
        hint=f"the last ones: {known}" if known else "nothing has been built here yet",
    )


def _built(name: str, kind: Kind, build: Build, store: Store) -> Side:
    config = _as_now(build.config)
    found = {step: store.find(key) for step, key in build.steps.items()}
    artifacts = {step: made for step, made in found.items() if made is not None}
    lost = [step for step, made in found.items() if made is None]
    notes = [f"{name}: {', '.join(lost)} left the store since; only their keys are known"]
    if not build.steps:
        notes = [f"{name} ended as '{build.status}': it finished no step"]
    return Side(
        name=name,
        kind=kind,
        model=f"{build.name} {build.version}",
        store=store,
        config=config,
        known=_known(build.steps, artifacts, {}, store),
        blocks=_blocks(artifacts, config, store),
        artifacts=artifacts,
        notes=tuple(notes) if lost or not build.steps else (),
    )


def _as_now(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the defaults of fields that the language has gained since."""
    from pydantic import ValidationError

    from jessy_build.recipe.model import Recipe

    config = dict(config)
    dataset = dict(config.get("dataset") or {})
    if "validate_" in dataset:
        dataset["validate"] = dataset.pop("validate_")
        config["dataset"] = dataset
    try:
        recipe = Recipe.model_validate_json(json.dumps(config))
    except ValidationError:
        return config
    return recipe.model_dump(mode="json", by_alias=True)


def _lock(name: str, read: Lock, store: Store, kind: Kind = "lock") -> Side:
    keys = {step: block.key for step, block in read.steps.items()}
    found = {step: store.find(key) for step, key in keys.items()}
    artifacts = {step: made for step, made in found.items() if made is not None}
    config = _config_behind(keys, store)
    unknown = f"{name}: its recipe is not known here, only what its steps were made of"
    nothing = f"{name}: nothing of it is in this store, so fields and items cannot be told"
    return Side(
        name=name,
        kind=kind,
        model=f"{read.name} {read.version}",
        store=store,
        config=config,
        known=_known(keys, artifacts, read.steps, store),
        blocks=read.steps,
        artifacts=artifacts,
        notes=() if config is not None else (unknown if artifacts else nothing,),
    )


def _config_behind(keys: Mapping[str, str], store: Store) -> Mapping[str, Any] | None:
    """Of a build that made just these steps; several hold the same then."""
    for build in store.ledger.builds():
        if keys and all(build.steps.get(step) == key for step, key in keys.items()):
            return _as_now(build.config)
    return None


def _known(
    keys: Mapping[str, str],
    artifacts: Mapping[str, Artifact],
    written: Mapping[str, Block],
    store: Store,
) -> dict[str, Known]:
    outputs = {step: block.output for step, block in written.items()}
    outputs |= {step: store.digest(made) for step, made in artifacts.items()}
    makers = {output: step for step, output in outputs.items() if output}
    known = {}
    for step in sorted(keys, key=_in_order):
        key = keys[step]
        made = artifacts.get(step)
        if made is None:
            known[step] = Known(key=key, output=outputs.get(step))
            continue
        inputs = made.preimage["inputs"]
        needs = {
            name: name if name in keys else makers.get(sha, name) for name, sha in inputs.items()
        }
        known[step] = Known(
            *(made.kind, made.preimage["version"], made.preimage["params"], made.about),
            *(needs, inputs, key, outputs[step]),
        )
    return known


def _in_order(step: str) -> tuple[int, str]:
    """As a build goes; the blocks of a lock stand by the alphabet."""
    kinds, kind = list(STEPS), step.partition(":")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), step)


def _blocks(
    artifacts: Mapping[str, Artifact], config: Mapping[str, Any], store: Store
) -> dict[str, Block]:
    return {
        step: blocks.of(step, made, store.digest(made), config) for step, made in artifacts.items()
    }


# Ollama


def _ollama(name: str, tag: str, near: str, store: Store) -> Side:
    from jessy_build.packaging import ollama

    settings = machine.load(Path(near))
    served = ollama.show(settings.ollama_host, tag, allow_remote="OLLAMA_HOST" in settings.env)
    build = pasts.deployed_by(served.digest, store)
    if build is not None:
        note = f"{name} is what build:{build.id} deployed, so all that is known of it is compared"
        made = _built(name, "ollama", build, store)
        return replace(made, served=served, notes=(note, *made.notes))
    note = (
        f"{name} was not deployed from this store: its base, data, training and metrics are not"
        " known, only what the server tells"
    )
    return Side(name, "ollama", served.tag, store, None, {}, {}, {}, served=served, notes=(note,))


def _completed(side: Side, other: Side) -> Side:
    """With keys that follow once an output is known from the other side.

    A lock out of git tells what steps came out as; so a recipe in a clean clone can be compared
    with it although nothing was built there.
    """
    if side.workspace is None:
        return side
    known, shared = dict(side.known), dict(side.blocks)
    for step in side.workspace.plan:
        here, there = known[step.name], other.known.get(step.name)
        inputs = {name: known[need].output for name, need in step.needs.items()}
        if here.key is None and None not in inputs.values():
            whole = {name: str(sha) for name, sha in inputs.items()}
            here = replace(here, inputs=whole, key=step.action(whole).key)
        if there is not None and here.key is not None and here.key == there.key:
            here = replace(here, output=here.output or there.output)
            if step.name in other.blocks:
                shared.setdefault(step.name, other.blocks[step.name])
        known[step.name] = here
    return replace(side, known=known, blocks=shared)

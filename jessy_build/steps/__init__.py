"""The only place where recipe, engine and capabilities meet. Each kind of step is one module."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jessy_build.engine.files import FileDigests
from jessy_build.engine.kind import StepKind
from jessy_build.engine.ledger import Ledger
from jessy_build.plan.step import Plan
from jessy_build.steps import (
    assemble,
    convert,
    deploy,
    evaluate,
    fetch,
    fuse,
    generate,
    gguf,
    parity,
    report,
    score,
    select,
    tokens,
    train,
    validate,
)

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Recipe

STEPS: Mapping[str, StepKind] = {
    fetch.name: fetch,
    convert.name: convert,
    generate.name: generate,
    validate.name: validate,
    assemble.name: assemble,
    tokens.name: tokens,
    train.name: train,
    select.name: select,
    fuse.name: fuse,
    gguf.name: gguf,
    parity.name: parity,
    evaluate.name: evaluate,
    score.name: score,
    deploy.name: deploy,
    report.name: report,
}

POOLS: Mapping[str, int] = {"cpu": 1, "gpu": 1, "network": 4}
"""How many steps of a pool run at once, where the recipe does not say: `gpu` is for those that fill
the machine, whatever it computes with."""


def pools(recipe: "Recipe") -> dict[str, int]:
    """Of steps, and of requests to the kinds of teachers that the recipe names there."""
    return {**POOLS, **{str(name): size for name, size in recipe.pools.items()}}


def plan(loaded: "LoadedRecipe", ledger: Ledger) -> Plan:
    """The recipe as steps. Reads the user's files, asks no network."""
    generating = generate.expand(loaded, ledger)
    steps = [
        *fetch.expand(loaded, FileDigests(ledger)),
        *convert.expand(loaded),
        *generating,
        *validate.expand(loaded, ledger, generating),
        *assemble.expand(loaded),
        *tokens.expand(loaded, generating),
        *train.expand(loaded),
        *select.expand(loaded),
        *fuse.expand(loaded),
        *gguf.expand(loaded),
        *parity.expand(loaded),
        *evaluate.expand(loaded),
        *score.expand(loaded),
        *deploy.expand(loaded),
    ]
    return Plan((*steps, *report.expand(loaded, steps)))

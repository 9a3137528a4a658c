"""status: rows against targets, spending, and the last builds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "progress of each category against its target, what was spent, and the last builds"
EXAMPLE = "jessy status recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    # Without one it tells of all.
    recipe.options(sub, optional=True)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, state

    if args.recipe is None:
        _refuse_shaping(args)
        overview = state.overview(past.open_past(Path("recipe.yaml")))
        if args.json:
            console.json_document(state.to_json(overview))
        state.show_all(overview, console)
        return OK
    workspace = recipe.workspace(args)
    document = state.document(workspace, past.of(workspace))
    if args.json:
        console.json_document(state.to_json(document))
    state.show(document, console)
    return OK


def _refuse_shaping(args: argparse.Namespace) -> None:
    from jessy_build.diagnostics import UsageError
    from jessy_build.steps.typed import command

    for name in recipe.SHAPING:
        if getattr(args, name, None):
            raise UsageError(
                f"--{name} says something of a recipe, and none is named",
                hint=f"{command('status')} RECIPE --{name} …",
            )

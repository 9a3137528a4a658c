"""bases: which base model to take on this machine."""

import argparse
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "list known base models, and what each takes to train here; recommend one"
EXAMPLE = "jessy bases recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    # Without a recipe, a thousand rows are meant.
    recipe.options(sub, optional=True)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import base_table

    document = base_table.of(recipe.workspace(args)) if args.recipe else base_table.usual()
    if args.json:
        console.json_document(base_table.to_json(document))
    for line in base_table.lines(document):
        console.line(line)
    console.line()
    console.table(base_table.table(document), base_table.HEADERS)
    console.line()
    for line in base_table.closing(document):
        console.line(line)
    return OK

"""why: the reasons of the last decision, as they were noted when it fell."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "say why a step of the last build ran or was reused, or where an example comes from"
EXAMPLE = "jessy why recipes/quickstart.yaml train"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("recipe", metavar="RECIPE")
    sub.add_argument("what", metavar="STEP|ITEM", nargs="?", help="left out: every step in a line")
    recipe.variant_option(sub)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, why

    before = past.open_past(Path(args.recipe))
    found = why.of(before, before.recipe(Path(args.recipe), args.variant or ""), args.what)
    if args.json:
        console.json_document(why.to_json(found))
    for line in why.lines(found):
        console.line(line)
    return OK

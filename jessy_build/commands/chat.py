"""chat: talk to the model that was built."""

import argparse
from typing import TYPE_CHECKING

from jessy_build.commands import recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "talk to the model that was built"
EXAMPLE = "jessy chat recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("--prompt", metavar="TEXT", help="ask this once and end")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import talk

    return talk.talk(recipe.workspace(args), console, args.prompt)

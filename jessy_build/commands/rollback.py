"""rollback: make the version live again that was live before."""

import argparse
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "make the version live again in Ollama that was live before"
EXAMPLE = "jessy rollback recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub, scale=False)
    sub.add_argument("--to", metavar="VERSION", help="a certain one, as v1, that the server has")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import rollback

    workspace = recipe.workspace(args)
    document = rollback.rollback(workspace, args.to)
    if args.json:
        console.json_document(rollback.to_json(document))
    for line in rollback.lines(document, workspace):
        console.line(line)
    return OK

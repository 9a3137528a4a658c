"""history: the versions of a model that were built here."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "list the versions of a model: cost, time, metrics, and which one is live"
EXAMPLE = "jessy history quickstart"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="NAME", help="of the model, or its recipe")
    sub.add_argument("--all", action="store_true", help="builds that made nothing new, too")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import history, past

    document = history.document(past.open_past(Path(args.name)), args.name, args.all)
    if args.json:
        console.json_document(history.to_json(document))
    history.show(document, console)
    return OK

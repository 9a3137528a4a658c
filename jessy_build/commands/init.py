"""init: a small project of the user's own."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "make a small project of your own that builds at once"
EXAMPLE = "jessy init my-persona"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("folder", metavar="DIR", help="a new or empty folder")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import starter

    made = starter.write(Path(args.folder))
    if args.json:
        console.json_document({"format": 1, "files": [str(path) for path in made]})
    for path in made:
        console.line(f"  {path}")
    console.line(f"Next: cd {shlex.quote(args.folder)} && just build")
    return OK

"""show: one example, with all that is known of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "show one example with all that is known of where it comes from"
EXAMPLE = "jessy show recipes/curated/smalltalk.jsonl:12"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "item",
        metavar="ITEM",
        help="an id, its first letters, rows.jsonl:12, or category/topic/language/level/number",
    )


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, provenance, show

    item = provenance.find(past.open_past(Path("recipe.yaml")), args.item)
    if args.json:
        console.json_document(show.to_json(item))
    for line in show.lines(item):
        console.line(line)
    return OK

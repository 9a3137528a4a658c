"""export: the data set that was built, for other tools."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "write the built data set for other tools, train and valid"
EXAMPLE = "jessy export recipes/quickstart.yaml --format chat --columns topic,source -o shared"
FORMS = ("chat", "completions", "conversations", "parquet")


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("--format", choices=FORMS, default="chat", help="chat where none is named")
    sub.add_argument("-o", "--output", metavar="DIR", help="a folder that is new, or ours")
    sub.add_argument(
        "--columns",
        default="all",
        metavar="NAMES",
        help="what stands beside the messages: id, category, topic, language, complexity,"
        " iterations, teacher, source, scores (of a judge); all (the default) or none",
    )
    sub.add_argument("--force", action="store_true", help="write over files that are not ours")


def run(args: argparse.Namespace, console: "Console") -> int:
    from dataclasses import asdict

    from jessy_build.steps import export

    columns = export.columns_of(args.columns)
    workspace = recipe.workspace(args)
    output = Path(args.output) if args.output else None
    document = export.export(workspace, args.format, columns, output, args.force)
    if args.json:
        console.json_document(asdict(document))
    for line in export.lines(document):
        console.line(line)
    return OK

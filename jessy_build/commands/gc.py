"""gc: remove what nobody needs any more."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "remove from the store what no recent build, lock file or live model needs"
EXAMPLE = "jessy gc --keep-last 2 --dry-run"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--keep-last",
        type=_count,
        default=3,
        metavar="N",
        help="finished builds of each recipe whose results stay (3)",
    )
    sub.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    sub.add_argument(
        "--answers-older-than",
        type=_days,
        metavar="DAYS",
        help="remove answers too, but for those behind rows that stay; they were paid for",
    )


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import gc, past

    document, named = gc.collect(
        past.open_past(Path("recipe.yaml")),
        args.keep_last,
        gc.bar(console),
        dry_run=args.dry_run,
        answers_older_than=args.answers_older_than,
    )
    if args.json:
        console.json_document(gc.to_json(document))
    for line in gc.lines(document, named):
        console.line(line)
    return OK


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of builds, as 3")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days, as 90")
    return days

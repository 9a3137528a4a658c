"""check: every problem of a recipe at once."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "say every problem of a recipe and its templates, with no network"
EXAMPLE = "jessy check recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub, scale=False)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.recipe.load import source_lines
    from jessy_build.steps import variants

    loaded, *others = variants.load_all(Path(args.recipe), args.set, label=args.variant or "")
    told = dict.fromkeys(warning for one in (loaded, *others) for warning in one.warnings)
    warnings = [asdict(warning) for warning in told]
    if args.json:
        console.json_document({"format": 1, "ok": True, "warnings": warnings})
    elif warnings:
        console.diagnostics(list(told), source_lines(args.set))
    rows = sum(len(rows) for rows in loaded.rows.values())
    found = _count(len(warnings), "warning") if warnings else "no problems"
    several = f"{1 + len(others)} builds, " if others else ""
    categories = _count(len(loaded.recipe.categories), "category", "categories")
    about = f"{several}{categories}, {_count(rows, 'curated row')}"
    console.line(f"{args.recipe}: {found} ({about})")
    return OK


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"

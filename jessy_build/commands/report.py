"""report: where the page of the last build lies."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "say where the HTML report lies"
EXAMPLE = "jessy report recipes/quickstart.yaml --open"


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("--open", action="store_true", help="show it in the browser")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.diagnostics import StepError
    from jessy_build.steps.typed import command

    workspace = recipe.workspace(args)
    page = workspace.folder / "report.html"
    if not page.exists():
        raise StepError(
            f"{args.recipe} has no report yet",
            hint=f"build it first: {command('build', args.recipe, *workspace.loaded.options)}",
        )
    shown = _shown(page)
    if args.json:
        console.json_document({"format": 1, "report": shown})
    console.line(shown)
    if args.open:
        import webbrowser

        webbrowser.open(page.as_uri())
    return OK


def _shown(path: Path) -> str:
    """Relative to where the user stands, when it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""review: read, filter, edit, accept and reject the examples of the last build, in the browser."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from jessy_build.commands import OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "read, edit, accept and reject the examples of the last build, on a local page"
EXAMPLE = "jessy review recipes/quickstart.yaml --no-open"
WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Where none of them is set, a browser would be one that takes over the terminal."""


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("--no-open", action="store_true", help="say the address, open no browser")


def run(args: argparse.Namespace, console: "Console") -> int:
    from dataclasses import asdict

    from jessy_build.diagnostics import StepError
    from jessy_build.steps import review, review_server
    from jessy_build.steps.typed import command

    workspace = recipe.workspace(args)
    rows = review.rows(workspace)
    try:
        desk = review.Desk(rows, workspace.loaded.path, workspace.store.root / "reviewing")
    except review.Refused as refused:
        raise StepError(str(refused)) from None
    of = workspace.loaded.recipe
    server = review_server.Server(desk, {"name": of.name, "version": of.version})
    decided = len(rows) - desk.counts()[review.UNDECIDED]
    if args.json:
        opened = review.Opened(1, server.url, str(desk.file), len(rows), decided)
        console.json_document(asdict(opened))
    console.line(f"{of.name} {of.version}: {len(rows):,} examples, {decided:,} decided")
    console.line(f"  {server.url}")
    console.line(f"Decisions go to {desk.file.name}, beside the recipe. Ctrl-C ends the review.")
    if not (args.no_open or args.json) and _has_windows():
        import webbrowser

        webbrowser.open(server.url_once)
    server.run()
    counts = desk.counts()
    told = ", ".join(f"{counts[word]:,} {word}ed" for word in ("accept", "reject", "edit"))
    build = command("build", args.recipe, *workspace.loaded.options)
    console.line(f"\n{told}. They count in the next build: {build}")
    return OK


def _has_windows() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in WINDOWS)

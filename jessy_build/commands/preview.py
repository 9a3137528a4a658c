"""preview: what a teacher would be asked, before it is paid for; with --ask, what it answers.

With --tokens the other end: rows as the model sees them in training.
"""

import argparse
import time
from typing import TYPE_CHECKING

from jessy_build.commands import FAILED, OK, OVER_BUDGET, build, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console
    from jessy_build.diagnostics import StepError
    from jessy_build.engine.events import Event
    from jessy_build.steps.builds import Workspace

HELP = "show some prompts of each category as the teacher gets them, or rows as tokens"
EXAMPLE = """jessy preview recipes/quickstart.yaml -n 2
  jessy preview recipes/quickstart.yaml smalltalk --tokens -n 1"""


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("category", metavar="CATEGORY", nargs="*", help="only these categories")
    sub.add_argument(
        "-n",
        type=_count,
        default=3,
        metavar="N",
        help="prompts, or rows, of each category (default: 3)",
    )
    sub.add_argument(
        "--ask",
        action="store_true",
        help="ask the teacher these; the answers are kept, and count in the next build",
    )
    sub.add_argument(
        "--tokens",
        action="store_true",
        help="show rows as tokens, as training reads them, and which of them it learns",
    )
    build.max_usd_option(sub)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.diagnostics import BudgetReached, UsageError
    from jessy_build.steps import preview
    from jessy_build.steps.preview import Problem
    from jessy_build.steps.typed import command

    if args.tokens and args.ask:
        raise UsageError("--tokens shows rows that are there", hint="leave out --ask or --tokens")
    workspace = recipe.workspace(args)
    names = preview.categories(workspace, args.category)
    if args.tokens:
        return _tokens(workspace, names, args.n, console)
    chosen = preview.choose(workspace, names, args.n)
    began = time.time()
    asked = 0
    problems: dict[str, StepError] = {}
    if args.ask and chosen:
        from jessy_build.steps import capped, preview_asking

        def emit(event: "Event") -> None:
            # With --json the document alone is printed.
            if not console.json:
                console.emit(event)

        budget = capped.budget([workspace], args.max_usd)
        asked, problems = preview_asking.ask(workspace, chosen, budget, emit)
        console.close()
        console.line()
    told = [Problem(name, error.problem, error.hint) for name, error in problems.items()]
    document = preview.document(workspace, names, chosen, began, asked, told)
    if args.json:
        console.json_document(preview.to_json(document))
    for line in preview.lines(document):
        console.line(line)
    words = [*args.category, *workspace.loaded.options, "-n", str(args.n)]
    console.line(preview.last_line(document, command("preview", args.recipe, *words, "--ask")))
    if problems:
        stopped = all(isinstance(error, BudgetReached) for error in problems.values())
        return OVER_BUDGET if stopped else FAILED
    return OK


def _tokens(workspace: "Workspace", names: list[str], count: int, console: "Console") -> int:
    from jessy_build.steps import row_tokens

    document = row_tokens.document(workspace, names, count)
    if console.json:
        console.json_document(row_tokens.to_json(document))
    for line in row_tokens.lines(document, console.width):
        console.parts(line)
    return OK


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of prompts from 1 to 1000")
    return int(text)

"""diff: what differs between two versions of a model, however they are named."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from jessy_build.commands import DIFFERENT, OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = (
    "compare two recipes, lock files, builds (build:12), revisions"
    " (HEAD~1:recipes/quickstart.yaml) or models in Ollama (ollama:jessy:v2)"
)
EXAMPLE = "jessy diff build:1 recipes/quickstart.yaml"


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("left", metavar="A")
    sub.add_argument("right", metavar="B")
    sub.add_argument("--full", action="store_true", help="what is the same, too")
    sub.add_argument("--md", action="store_true", help="Markdown, for a pull request")
    sub.add_argument("--html", action="store_true", help="one HTML page, to standard output")
    recipe.set_option(sub)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.diagnostics import UsageError
    from jessy_build.steps import compare, diff_lines, diff_markdown, diff_words

    if args.json + args.md + args.html > 1:
        raise UsageError("--json, --md and --html are three answers", hint="ask for one of them")
    found = compare.diff(args.left, args.right, args.set, full=args.full)
    if args.json:
        console.json_document(asdict(found))
    elif args.md:
        console.write(diff_markdown.markdown(found))
    elif args.html:
        from jessy_build.reports import diff_html

        console.write(diff_html.render(diff_words.view(found)))
    else:
        for line in diff_lines.lines(found, full=args.full):
            console.line(line)
    return OK if found.same else DIFFERENT

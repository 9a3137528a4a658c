"""schema: the shapes of what people write and of what --json prints."""

import argparse
import json
from typing import TYPE_CHECKING

from jessy_build.commands import OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "print the JSON schema of recipes and suites (for editors), locks, or what --json prints"
EXAMPLE = "jessy schema > recipe.schema.json"
NAMES = (
    *("recipe", "suite", "lock", "preview", "tokens", "plan", "plans", "compared", "missing"),
    *("diff", "why", "status", "overview", "history", "show", "review", "export", "rollback", "gc"),
    "bases",
)
"""As `steps/schemas` has them; a test compares, since help must not load the recipe language."""


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--md", action="store_true", help="every field of a recipe, as a page")
    sub.add_argument("name", nargs="?", default="recipe", choices=NAMES)


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.diagnostics import UsageError

    if args.md and (args.json or args.name != "recipe"):
        raise UsageError(
            "--md is a page about recipes, and no JSON schema", hint="leave the rest out"
        )
    if args.md:
        from jessy_build.recipe import reference

        console.write(reference.page())
        return OK
    from jessy_build.steps.schemas import SCHEMAS

    text = SCHEMAS[args.name]()
    if args.json:
        console.json_document(json.loads(text))
    console.write(text)
    return OK

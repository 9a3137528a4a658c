"""The recipe on the command line: which one it is, and what may be typed to shape it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

SHAPING = ("set", "scale", "variant", "until")
"""Options that decide what is built; a saved plan keeps them."""


def options(sub: argparse.ArgumentParser, *, optional: bool = False, scale: bool = True) -> None:
    sub.add_argument("recipe", metavar="RECIPE", nargs="?" if optional else None)
    set_option(sub)
    variant_option(sub)
    if not scale:
        sub.set_defaults(scale=None)
    else:
        sub.add_argument(
            "--scale",
            type=_share,
            metavar="SHARE",
            help="a part of the rows, as 0.25: a smaller first try, built beside the real one",
        )


def set_option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="take another value for a field, as in train.lora.rank=8; may be repeated",
    )


def variant_option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--variant", metavar="LABEL", help="one build of the recipe's matrix")


def workspaces(args: argparse.Namespace) -> "Sequence[Workspace]":
    """One, or those of the recipe's matrix."""
    from jessy_build.steps import variants

    return variants.open_all(Path(args.recipe), args.set, args.scale or "", args.variant or "")


def workspace(args: argparse.Namespace) -> "Workspace":
    from jessy_build.steps import variants

    return variants.the_one(workspaces(args), args.recipe)


def _share(text: str) -> str:
    """As it was typed, since a saved plan keeps it."""
    from jessy_build.recipe import scale

    try:
        scale.share_of(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1, as 0.25") from None
    return text

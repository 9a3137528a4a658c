"""The commands: one small module each, loaded when its command is typed, and this visible table.

A command's module has `HELP` and `EXAMPLE` (words for people), `options` (what may be typed behind
it) and `run` (arguments → exit code). It neither prints nor exits.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from jessy_build.console import Console

COMMANDS = (
    *("init", "check", "preview", "plan", "build", "diff", "chat", "status", "why", "history"),
    *("review", "show", "export", "rollback", "gc", "report", "bases", "doctor", "schema"),
)
"""In the order of the help page, which is the order in which a new user needs them."""

OK, FAILED, WRONG, BUG, OVER_BUDGET, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 5, 10, 130

Run = Callable[[argparse.Namespace, "Console"], int]


class Command(Protocol):
    HELP: str
    EXAMPLE: str

    def options(self, sub: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, console: "Console") -> int: ...


def named(name: str) -> Command:
    import importlib

    return cast(Command, importlib.import_module(f"jessy_build.commands.{name}"))

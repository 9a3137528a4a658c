"""Words → a command → an exit code. The only place that decides exit codes of failures, and exits.

0 done or nothing to do · 1 a step failed · 2 the recipe (or the command line) is wrong · 3 our bug
5 the budget is reached · 10 different (`diff`, `plan --exit-code`) · 130 interrupted
"""

import argparse
import copy
import errno
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from jessy_build import __version__, commands, unneeded
from jessy_build.commands import BUG, COMMANDS, FAILED, INTERRUPTED, OK, WRONG

if TYPE_CHECKING:
    from jessy_build.console import Console

SHORT = ("check", "plan")
"""Commands over so soon that neither rubbish is looked for nor a recipe taken down at their end."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    # What start-up and a recipe make stays to the end: to look for rubbish among it takes a fifth
    # of a `plan`. What works longer turns the search on again.
    gc.disable()
    _open_closed()
    unneeded.leave_out()
    words = sys.argv[1:] if argv is None else argv
    code = run(words)
    if words[:1] and words[0] in SHORT:
        _end_at_once(code)
    gc.freeze()
    sys.exit(code)


def _open_closed() -> None:
    """A stream that was closed before we began (`>&-`): what goes there is lost, as was wished, and
    no file that is opened later takes its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _end_at_once(code: int) -> None:
    """Do not take a recipe down object by object, only to end. What these commands write they have
    committed: a kill would hurt it no more."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing but `main` ends the process."""
    if not argv:
        parser().print_help(sys.stderr)
        return WRONG
    try:
        args = parser(argv[0]).parse_args(argv)
    except SystemExit as error:  # argparse has printed help (0) or what is wrong (2)
        return int(error.code or 0)
    if args.name_of_command not in (*SHORT, "build"):
        gc.enable()
    from jessy_build.console import Console
    from jessy_build.diagnostics import RecipeError, StalePlan, StepError, UsageError

    with Console(json=args.json) as console:
        try:
            return _done(args, console)
        except RecipeError as error:
            from jessy_build.recipe.load import source_lines

            console.diagnostics(error.diagnostics, source_lines(getattr(args, "set", ())))
            return WRONG
        except (StalePlan, UsageError) as error:
            console.step_error(error)
            return WRONG
        except StepError as error:
            console.step_error(error)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            return _refused(args, console, error)
        except Exception:
            return _bug(console)


def _done(args: argparse.Namespace, console: "Console") -> int:
    """The command; from its start once more where a damaged ledger had to be mended first."""
    try:
        return int(args.run(copy.copy(args), console))
    except Exception as error:
        from jessy_build.engine.database import LedgerDamaged

        if not isinstance(error, LedgerDamaged):
            raise
        from jessy_build.engine import mend

        if mended := mend.mend(error):
            console.warn(mended.problem, mended.hint)
    return int(args.run(args, console))


def parser(word: str = "") -> argparse.ArgumentParser:
    """With the word of a command the others are left out: all of them take longer than to read a
    recipe."""
    top = argparse.ArgumentParser(
        prog="jessy",
        description="Build fine-tuned personas from one recipe.",
        epilog="Start with: jessy init my-persona",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"jessy-build {__version__}")
    table = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [word] if word in COMMANDS else COMMANDS:
        command = commands.named(name)
        sub = table.add_parser(
            name,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:] + ".",
            epilog=f"example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=command.run, name_of_command=name)
        sub.add_argument("--json", action="store_true", help="print JSON and nothing else")
        command.options(sub)
    return top


def _refused(args: argparse.Namespace, console: "Console", error: OSError) -> int:
    from jessy_build.engine import disk

    if isinstance(error, BrokenPipeError):
        # `| head` has read enough; Python must not complain about it while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK if args.name_of_command != "build" else _unheard(console)
    if error.errno == errno.ENOENT and not _is_somewhere():
        error = FileNotFoundError(errno.ENOENT, "the folder that you are in is gone")
        console.step_error(disk.refusal(error))
        return FAILED
    if error.errno in disk.REFUSED:
        console.step_error(disk.refusal(error))
        return FAILED
    return _bug(console)


def _is_somewhere() -> bool:
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _unheard(console: "Console") -> int:
    """A build ends with 0 only when it is whole."""
    from jessy_build.diagnostics import StepError

    console.json = False  # where JSON would go, nobody reads
    console.step_error(
        StepError(
            "nobody reads on what the build says, so it stopped",
            hint="what is finished is kept; build again, with > build.log where a pipe was",
        )
    )
    return FAILED


def _bug(console: "Console") -> int:
    """Nothing of the traceback on the screen: it goes to a file that can be sent to us."""
    import platform
    import tempfile
    import traceback

    from jessy_build.diagnostics import StepError

    with tempfile.NamedTemporaryFile(
        "w", prefix="jessy-bug-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"jessy-build {__version__} · Python {platform.python_version()}\n")
        file.write(f"{platform.platform()}\n{traceback.format_exc()}")
    console.step_error(
        StepError(
            "this is a fault of jessy-build, not of your recipe",
            hint="please report it with the log; what is finished is kept",
            log=Path(file.name),
        )
    )
    return BUG

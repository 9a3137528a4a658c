"""One function per command. The only place that knows exit codes.

0 done or nothing to do · 1 a step failed · 2 the recipe (or the command line) is wrong · 3 our bug
10 different (`diff`, `plan --exit-code`) · 130 interrupted
"""

import argparse
import copy
import errno
import gc
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from jessy_build import __version__

if TYPE_CHECKING:
    from jessy_build.console import Console
    from jessy_build.engine.rebuild import Decision
    from jessy_build.engine.schedule import Result
    from jessy_build.steps.builds import Workspace
    from jessy_build.steps.saved import Saved

OK, FAILED, WRONG, BUG, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 10, 130

Command = Callable[[argparse.Namespace, "Console"], int]
SHAPING = ("set", "scale", "variant", "until")
"""Options that decide what is built; a saved plan keeps them."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    # What start-up and a recipe make stays to the end: to look for rubbish among it takes a fifth
    # of a `plan`. What works longer turns the search on again.
    gc.disable()
    words = sys.argv[1:] if argv is None else argv
    code = run(words)
    if words[:1] in (["check"], ["plan"]):
        _end_at_once(code)
    gc.freeze()
    sys.exit(code)


def _end_at_once(code: int) -> None:
    """Do not take a recipe down object by object, only to end. What these commands write they have
    committed: a kill would hurt it no more."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing but `main` ends the process."""
    try:
        args = parser(argv[0] if argv else "").parse_args(argv)
    except SystemExit as error:  # argparse has printed help (0) or what is wrong (2)
        return int(error.code or 0)
    if args.command not in (check, plan, build):
        gc.enable()
    from jessy_build.console import Console
    from jessy_build.diagnostics import RecipeError, StalePlan, StepError

    with Console(json=getattr(args, "json", False)) as console:
        try:
            return _done(args, console)
        except RecipeError as error:
            from jessy_build.recipe.load import source_lines

            console.diagnostics(error.diagnostics, source_lines(getattr(args, "set", ())))
            return WRONG
        except StalePlan as error:
            console.step_error(error)
            return WRONG
        except StepError as error:
            console.step_error(error)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            return _refused(console, error)
        except Exception:
            return _bug(console)


def _done(args: argparse.Namespace, console: "Console") -> int:
    """The command; from its start once more where a damaged ledger had to be mended first."""
    try:
        return int(args.command(copy.copy(args), console))
    except Exception as error:
        from jessy_build.engine.database import LedgerDamaged

        if not isinstance(error, LedgerDamaged):
            raise
        from jessy_build.engine import mend

        if mended := mend.mend(error):
            console.warn(mended.problem, mended.hint)
    return int(args.command(args, console))


def check(args: argparse.Namespace, console: "Console") -> int:
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
    found = f"{len(warnings)} warnings" if warnings else "no problems"
    categories = len(loaded.recipe.categories)
    several = f"{1 + len(others)} builds, " if others else ""
    about = f"{several}{categories} categories, {rows} curated rows"
    console.line(f"{args.recipe}: {found} ({about})")
    return OK


def plan(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import explain

    if len(workspaces := _workspaces(args)) > 1:
        return _plan_all(args, workspaces, console)
    workspace = workspaces[0]
    decisions = workspace.decisions(args.until)
    _tell_of_shared(workspace, console)
    if args.json:
        from jessy_build.steps import plan_document

        document = plan_document.document(workspace, decisions)
        console.json_document(plan_document.to_json(document))
    for line in explain.lines(workspace, decisions, args.full):
        console.line(line)
    if args.output:
        _save_plan(args, workspace, decisions, console)
    idle = all(explain.word(decision) == "cached" for decision in decisions.values())
    return DIFFERENT if args.exit_code and not idle else OK


def _plan_all(
    args: argparse.Namespace, workspaces: "Sequence[Workspace]", console: "Console"
) -> int:
    """The builds of a matrix, each under its label."""
    from jessy_build.steps import explain, outcomes, variants

    if args.output:
        variants.the_one(workspaces, args.recipe)
    decided = [(workspace, workspace.decisions(args.until)) for workspace in workspaces]
    _warn(workspaces, console)
    _tell_of_shared(workspaces[0], console)
    if args.json:
        console.json_document(outcomes.plans(args.recipe, decided))
    for workspace, decisions in decided:
        for line in explain.lines(workspace, decisions, args.full):
            console.line(line)
        console.line()
    for line in outcomes.plan_lines(workspaces, args.until):
        console.line(line)
    idle = all(explain.word(d) == "cached" for _, plan in decided for d in plan.values())
    return DIFFERENT if args.exit_code and not idle else OK


def _tell_of_shared(workspace: "Workspace", console: "Console") -> None:
    """A build tells it as events; a plan has none."""
    for note in workspace.store.shared.notes() if workspace.store.shared else ():
        console.warn(f"shared store: {note}")


def _warn(workspaces: "Sequence[Workspace]", console: "Console") -> None:
    """What `check` would say of recipes that can be built; scripts read it there."""
    from jessy_build.recipe.load import source_lines

    warnings = dict.fromkeys(w for one in workspaces for w in one.loaded.warnings)
    if warnings and not console.json:
        console.diagnostics(list(warnings), source_lines(()))


def _save_plan(
    args: argparse.Namespace,
    workspace: "Workspace",
    decisions: "Mapping[str, Decision]",
    console: "Console",
) -> None:
    from jessy_build.steps import saved

    options = saved.options_of(args, SHAPING)
    saved.write(Path(args.output), args.recipe, options, workspace, decisions)
    console.line(f"Saved. Build just this: {command('build')} --plan {args.output}")


def _planned(args: argparse.Namespace) -> "Saved | None":
    """The plan that is to be built, its options in place of those of the command line."""
    from jessy_build.diagnostics import StepError
    from jessy_build.steps import saved

    if args.plan is None:
        if args.recipe is None:
            raise StepError(
                "no recipe is named", hint=f"{command('build')} RECIPE, or --plan FILE of a plan"
            )
        return None
    if args.recipe is not None or saved.options_of(args, SHAPING):
        raise StepError(
            "a saved plan brings its recipe and its options along",
            hint=f"{command('build')} --plan {args.plan}, and nothing else that shapes the build",
        )
    planned = saved.read(Path(args.plan))
    args.recipe = planned.recipe
    vars(args).update(planned.options)
    return planned


def build(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import builds, closing, saved

    planned = _planned(args)
    began = time.time_ns()
    if len(workspaces := _workspaces(args)) > 1:
        return _build_all(args, workspaces, console)
    workspace = workspaces[0]
    asked_as_written = not (args.set or workspace.loaded.variant)
    if planned is not None:
        saved.refuse_if_stale(planned, workspace, workspace.decisions(args.until))
    _work_long(workspaces, args.until)
    result = builds.build(workspace, console.emit, args.until, locked=asked_as_written)
    if result.failed:
        return FAILED
    if result.ran:
        console.summary(closing.summary(workspace, result))
    else:
        for line in closing.next_lines(workspace, result):
            console.line(line)
    if asked_as_written and not (args.until or result.failed):
        _remember(args.recipe, workspace, result, began)
    return OK


def _work_long(workspaces: "Sequence[Workspace]", until: str | None) -> None:
    """From here on rubbish is looked for, but not among what start-up and the plans made."""
    for workspace in workspaces:
        workspace.until(until)
    gc.freeze()
    gc.enable()


def _build_all(
    args: argparse.Namespace, workspaces: "Sequence[Workspace]", console: "Console"
) -> int:
    """The builds of a matrix one after another, and what came of each beside the others."""
    from jessy_build.steps import outcomes

    def head(text: str) -> None:
        console.line()
        console.line(text)

    _work_long(workspaces, args.until)
    made = outcomes.build_all(workspaces, console.emit, head, console.step_error, args.until)
    if args.json:
        console.json_document(outcomes.compared(made))
    console.line()
    console.table(*outcomes.table(made))
    if best := outcomes.best(made):
        words = shlex.join((args.recipe, *best.options))
        console.line(f"\nNext:\n  {command('chat')} {words}   talk to the one with the lowest loss")
    return FAILED if any(outcome.status == "failed" for outcome in made) else OK


def _remember(recipe: str, workspace: "Workspace", result: "Result", began: int) -> None:
    """For the short road: what the next build and the next plan say if nothing is touched.

    `began` is when the recipe was about to be read: an edit since then was not built.
    """
    from jessy_build import untouched
    from jessy_build.engine.rebuild import Reuse
    from jessy_build.steps import closing, explain

    files = workspace.depends_on(result)
    if files is not None:
        cached = {step.name: Reuse(result.made[step.name]) for step in workspace.plan}
        built = f"Nothing to do: {len(result.made)} steps cached"
        untouched.remember(
            recipe,
            os.environ,
            map(str, files),
            closing.effect(workspace, result),
            {
                "build": [built, *closing.next_lines(workspace, result)],
                "plan": list(explain.lines(workspace, cached, full=False)),
            },
            lambda: workspace.unchanged_since(began),
        )


def diff(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import compare, diff_lines, diff_markdown, diff_words

    if args.json + args.md + args.html > 1:
        console.warn("--json, --md and --html are three answers", "ask for one of them")
        return WRONG
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


def status(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, state

    if args.recipe is None:
        overview = state.overview(past.open_past(Path("recipe.yaml")))
        if args.json:
            console.json_document(state.to_json(overview))
        state.show_all(overview, console)
        return OK
    workspace = _workspace(args)
    document = state.document(workspace, past.of(workspace))
    if args.json:
        console.json_document(state.to_json(document))
    state.show(document, console)
    return OK


def why(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, why

    before = past.open_past(Path(args.recipe))
    recipe = before.recipe(Path(args.recipe), args.variant or "")
    found = why.of(before, recipe, args.what)
    if args.json:
        console.json_document(why.to_json(found))
    for line in why.lines(found):
        console.line(line)
    return OK


def history(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import history, past

    document = history.document(past.open_past(Path(args.name)), args.name, args.all)
    if args.json:
        console.json_document(history.to_json(document))
    history.show(document, console)
    return OK


def show(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import past, provenance, show

    item = provenance.find(past.open_past(Path("recipe.yaml")), args.item)
    if args.json:
        console.json_document(show.to_json(item))
    for line in show.lines(item):
        console.line(line)
    return OK


def gc_(args: argparse.Namespace, console: "Console") -> int:
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


def report(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.diagnostics import StepError

    workspace = _workspace(args)
    page = workspace.folder / "report.html"
    if not page.exists():
        raise StepError(
            f"{args.recipe} has no report yet",
            hint=f"build it first: {command('build')} {args.recipe}",
        )
    shown = _shown(page)
    if args.json:
        console.json_document({"format": 1, "report": shown})
    console.line(shown)
    if args.open:
        import webbrowser

        webbrowser.open(page.as_uri())
    return OK


def chat(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import talk

    return talk.talk(_workspace(args), console, args.prompt)


def doctor(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import health

    findings = health.findings(os.environ)
    if args.json:
        console.json_document(health.document(findings))
    for line in health.lines(findings):
        console.line(line)
    return OK if all(finding.ok or not finding.needed for finding in findings) else FAILED


def init(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import starter

    made = starter.write(Path(args.folder))
    if args.json:
        console.json_document({"format": 1, "files": [str(path) for path in made]})
    for path in made:
        console.line(f"  {path}")
    console.line(f"Next: cd {args.folder} && just build recipe.yaml")
    return OK


def schema(args: argparse.Namespace, console: "Console") -> int:
    if args.md:
        from jessy_build.recipe import reference

        console.line(reference.page().rstrip("\n"))
        return OK
    from jessy_build.steps.schemas import SCHEMAS

    console.line(SCHEMAS[args.name]().rstrip("\n"))
    return OK


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
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    left_out = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")

    def add(function: Command, help: str, example: str) -> argparse.ArgumentParser:
        # `gc` is Python's own word here.
        name = function.__name__.rstrip("_")
        if word not in ("", name):
            return left_out
        sub = commands.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=function)
        sub.add_argument("--json", action="store_true", help="print JSON and nothing else")
        return sub

    def add_for_recipe(function: Command, help: str, example: str) -> argparse.ArgumentParser:
        sub = add(function, help, example)
        # A saved plan names its recipe itself; `status` alone tells of all.
        optional = function in (build, status)
        sub.add_argument("recipe", metavar="RECIPE", nargs="?" if optional else None)
        _add_set(sub)
        sub.add_argument("--variant", metavar="LABEL", help="one build of the recipe's matrix")
        if function is not check:
            sub.add_argument("--scale", type=_share, metavar="SHARE", help=SCALE)
        return sub

    sub = add(init, "make a small project of your own that builds at once", "jessy init my-persona")
    sub.add_argument("folder", metavar="DIR")
    add_for_recipe(
        check,
        "say every problem of a recipe and its templates, with no network",
        "jessy check recipes/quickstart.yaml",
    )
    sub = add_for_recipe(
        plan,
        "say what would run, what may run, what is cached, and why",
        "jessy plan recipes/quickstart.yaml --set train.lora.rank=8",
    )
    sub.add_argument("--until", metavar="STEP", help="plan a build that stops behind this step")
    sub.add_argument("--full", action="store_true", help="cached steps too, and whole texts")
    sub.add_argument("--exit-code", action="store_true", help="10 when something would run")
    sub.add_argument("-o", "--output", metavar="FILE", help="save it, for build --plan FILE")
    sub = add_for_recipe(
        build,
        "run what must run, from base model to report",
        "jessy build recipes/quickstart.yaml --until gguf",
    )
    sub.add_argument("--until", metavar="STEP", help="stop behind this step")
    sub.add_argument(
        "--plan", metavar="FILE", help="build what this plan says; refused when it is stale"
    )
    sub = add(
        diff,
        "compare two recipes, lock files, builds (build:12), revisions"
        " (HEAD~1:recipes/quickstart.yaml) or models in Ollama (ollama:jessy:v2)",
        "jessy diff build:1 recipes/quickstart.yaml",
    )
    sub.add_argument("left", metavar="A")
    sub.add_argument("right", metavar="B")
    sub.add_argument("--full", action="store_true", help="what is the same, too")
    sub.add_argument("--md", action="store_true", help="Markdown, for a pull request")
    sub.add_argument("--html", action="store_true", help="one HTML page, to standard output")
    _add_set(sub)
    sub = add_for_recipe(
        chat, "talk to the model that was built", "jessy chat recipes/quickstart.yaml"
    )
    sub.add_argument("--prompt", metavar="TEXT", help="ask this once and end")
    add_for_recipe(
        status,
        "progress of each category against its target, what was spent, and the last builds",
        "jessy status recipes/quickstart.yaml",
    )
    sub = add(
        why,
        "say why a step of the last build ran or was reused, or where an example comes from",
        "jessy why recipes/quickstart.yaml train",
    )
    sub.add_argument("recipe", metavar="RECIPE")
    sub.add_argument("what", metavar="STEP|ITEM", nargs="?", help="left out: every step in a line")
    sub.add_argument("--variant", metavar="LABEL", help="one build of the recipe's matrix")
    sub = add(
        history,
        "list the versions of a model: cost, time, metrics, and which one is live",
        "jessy history quickstart",
    )
    sub.add_argument("name", metavar="NAME", help="of the model, or its recipe")
    sub.add_argument("--all", action="store_true", help="builds that made nothing new, too")
    sub = add(
        show,
        "show one example with all that is known of where it comes from",
        "jessy show smalltalk/greetings/tr/low/3",
    )
    sub.add_argument(
        "item", metavar="ITEM", help="an id, its first letters, its slot, or rows.jsonl:12"
    )
    sub = add(
        gc_,
        "remove from the store what no recent build, lock file or live model needs",
        "jessy gc --keep-last 2 --dry-run",
    )
    sub.add_argument("--keep-last", type=_count, default=3, metavar="N", help=KEEP_LAST)
    sub.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    sub.add_argument("--answers-older-than", type=_days, metavar="DAYS", help=OLD_ANSWERS)
    sub = add_for_recipe(
        report, "say where the HTML report lies", "jessy report recipes/quickstart.yaml --open"
    )
    sub.add_argument("--open", action="store_true", help="show it in the browser")
    add(doctor, "check this machine, and say what to install", "jessy doctor")
    sub = add(
        schema,
        "print the JSON schema of recipes (for editors), of locks, or of what --json prints",
        "jessy schema > schemas/recipe.schema.json",
    )
    sub.add_argument("--md", action="store_true", help="every field of a recipe, as a page")
    names = ("recipe", "lock", "plan", "diff", "why", "status", "overview", "history", "show", "gc")
    more = ("plans", "compared")
    sub.add_argument("name", nargs="?", default="recipe", choices=(*names, *more))
    return top if commands.choices else parser()


def command(word: str) -> str:
    """`just build` where a Justfile stands beside the user, `jessy build` elsewhere."""
    return f"just {word}" if Path("Justfile").exists() else f"jessy {word}"


SCALE = "a part of the rows, as 0.25: a smaller first try, built beside the real one"


KEEP_LAST = "finished builds of each recipe whose results stay (3)"
OLD_ANSWERS = "remove answers too, but for those behind rows that stay; they were paid for"


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


def _share(text: str) -> str:
    """As it was typed, since a saved plan keeps it."""
    from jessy_build.recipe import scale

    try:
        scale.share_of(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1, as 0.25") from None
    return text


def _add_set(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="take another value for a field, as in train.lora.rank=8",
    )


def _workspaces(args: argparse.Namespace) -> "Sequence[Workspace]":
    """One, or those of the recipe's matrix."""
    from jessy_build.steps import variants

    share = getattr(args, "scale", None) or ""
    return variants.open_all(Path(args.recipe), args.set, share, args.variant or "")


def _workspace(args: argparse.Namespace) -> "Workspace":
    from jessy_build.steps import variants

    return variants.the_one(_workspaces(args), args.recipe)


def _shown(path: Path) -> str:
    """Relative to where the user stands, when it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _refused(console: "Console", error: OSError) -> int:
    from jessy_build.engine import disk

    if isinstance(error, BrokenPipeError):
        # `| head` has read enough; Python must not complain about it while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    if error.errno in (*disk.FULL, errno.EROFS, errno.EACCES, errno.EIO):
        console.step_error(disk.refusal(error))
        return FAILED
    return _bug(console)


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

"""build: run what must run. What it leaves for the short road is noted here, too."""

import argparse
import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import FAILED, OK, OVER_BUDGET, recipe

MOST_USD = 1_000_000
"""As in a recipe."""

if TYPE_CHECKING:
    from jessy_build.console import Console
    from jessy_build.engine.budget import Budget
    from jessy_build.engine.schedule import Result
    from jessy_build.steps.builds import Workspace
    from jessy_build.steps.saved import Saved

HELP = "run what must run, from base model to report"
EXAMPLE = "jessy build recipes/quickstart.yaml --until gguf"


def options(sub: argparse.ArgumentParser) -> None:
    # A saved plan names its recipe itself.
    recipe.options(sub, optional=True)
    sub.add_argument("--until", metavar="STEP", help="stop behind this step")
    sub.add_argument(
        "--plan", metavar="FILE", help="build what this plan says; refused when it is stale"
    )
    max_usd_option(sub)


def max_usd_option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--max-usd",
        type=_usd,
        metavar="N",
        help="spend at most N dollars on teachers, whatever budget the recipe has",
    )


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import alone, builds, capped, closing, saved, tracked, training

    planned = _planned(args)
    began = time.time_ns()
    workspaces = recipe.workspaces(args)
    alone.refuse(workspaces, args.until)
    training.refuse(workspaces, args.until)
    for absent in tracked.missing(workspaces, args.until):
        console.warn(absent.problem, absent.hint)
    budget = capped.budget(workspaces, args.max_usd)
    if len(workspaces) > 1:
        return _all(args, workspaces, budget, console)
    workspace = workspaces[0]
    asked_as_written = not (args.set or workspace.loaded.variant)
    if planned is not None:
        saved.refuse_if_stale(planned, workspace, workspace.decisions(args.until))
    _work_long(workspaces, args.until)
    result = builds.build(
        workspace, console.emit, args.until, locked=asked_as_written, budget=budget
    )
    if capped.is_stopped(result):
        _tell_missing(workspace, budget, console)
        return OVER_BUDGET
    if result.failed:
        return FAILED
    if result.ran:
        console.summary(closing.summary(workspace, result))
    else:
        for line in closing.next_lines(workspace, result):
            console.line(line)
    if asked_as_written and not args.until:
        _remember(args.recipe, workspace, result, began)
    return OK


def _planned(args: argparse.Namespace) -> "Saved | None":
    """The plan that is to be built, its options in place of those of the command line."""
    from jessy_build.diagnostics import UsageError
    from jessy_build.steps import saved
    from jessy_build.steps.typed import command

    if args.plan is None:
        if args.recipe is None:
            raise UsageError(
                "no recipe is named",
                hint=f"{command('build')} RECIPE, or {command('build')} --plan FILE",
            )
        return None
    if args.recipe is not None or saved.options_of(args, recipe.SHAPING):
        raise UsageError(
            "a saved plan brings its recipe and its options along",
            hint=f"nothing beside it: {command('build', '--plan', args.plan)}",
        )
    planned = saved.read(Path(args.plan))
    args.recipe = planned.recipe
    vars(args).update(planned.options)
    return planned


def _work_long(workspaces: "Sequence[Workspace]", until: str | None) -> None:
    """From here on rubbish is looked for, but not among what start-up and the plans made."""
    for workspace in workspaces:
        workspace.until(until)
    # A process that never put the search off runs more than this command, and wants all of it back.
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _tell_missing(workspace: "Workspace", budget: "Budget", console: "Console") -> None:
    """What the budget was enough for, by category."""
    from jessy_build.steps import missing

    stopped = missing.of(workspace, budget)
    if console.json:
        console.json_document(missing.to_json(stopped))
    console.line()
    console.table(missing.rows(stopped), missing.HEADERS)


def _all(
    args: argparse.Namespace,
    workspaces: "Sequence[Workspace]",
    budget: "Budget",
    console: "Console",
) -> int:
    """The builds of a matrix one after another, and what came of each beside the others."""
    from jessy_build.steps import outcomes
    from jessy_build.steps.typed import command

    def head(text: str) -> None:
        console.line()
        console.line(text)

    _work_long(workspaces, args.until)
    made = outcomes.build_all(
        workspaces, console.emit, head, console.step_error, args.until, budget
    )
    for workspace, outcome in zip(workspaces, made, strict=True):
        if outcome.status == outcomes.STOPPED:
            head(outcome.label)
            _tell_missing(workspace, budget, console)
    if args.json:
        console.json_document(outcomes.compared(made))
    console.line()
    console.table(*outcomes.table(made))
    if best := outcomes.best(made):
        words = command("chat", args.recipe, *best.options)
        console.line(f"\nNext:\n  {words}   talk to the one with the lowest loss")
    statuses = {outcome.status for outcome in made}
    if "failed" in statuses:
        return FAILED
    return OVER_BUDGET if outcomes.STOPPED in statuses else OK


def _usd(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount <= MOST_USD:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of dollars above 0, as 20")
    return amount


def _remember(named: str, workspace: "Workspace", result: "Result", began: int) -> None:
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
            named,
            os.environ,
            map(str, files),
            closing.effect(workspace, result),
            {
                "build": [built, *closing.next_lines(workspace, result)],
                "plan": list(explain.lines(workspace, cached, full=False)),
            },
            lambda: workspace.unchanged_since(began),
        )

"""plan: what a build would do, and why. Nothing is made, and no teacher is asked."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build.commands import DIFFERENT, OK, recipe

if TYPE_CHECKING:
    from jessy_build.console import Console
    from jessy_build.engine.rebuild import Decision
    from jessy_build.steps.builds import Workspace

HELP = "say what would run, what may run, what is cached, and why"
EXAMPLE = "jessy plan recipes/quickstart.yaml --set train.lora.rank=8"


def options(sub: argparse.ArgumentParser) -> None:
    recipe.options(sub)
    sub.add_argument("--until", metavar="STEP", help="plan a build that stops behind this step")
    sub.add_argument("--full", action="store_true", help="cached steps too, and whole texts")
    sub.add_argument("--exit-code", action="store_true", help="10 when something would run")
    sub.add_argument("-o", "--output", metavar="FILE", help="save it, for build --plan FILE")


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import alone, explain, tracked, training

    workspaces = recipe.workspaces(args)
    alone.refuse(workspaces, args.until)
    training.refuse(workspaces, args.until)
    for absent in tracked.missing(workspaces, args.until):
        console.warn(absent.problem, absent.hint)
    if len(workspaces) > 1:
        return _all(args, workspaces, console)
    workspace = workspaces[0]
    decisions = workspace.decisions(args.until)
    _tell_of_shared(workspace, console)
    if args.output:
        _save(args, workspace, decisions)
    if args.json:
        from jessy_build.steps import plan_document

        document = plan_document.document(workspace, decisions)
        console.json_document(plan_document.to_json(document))
    for line in explain.lines(workspace, decisions, args.full):
        console.line(line)
    if args.output:
        from jessy_build.steps.typed import command

        console.line(f"Saved. To build just this: {command('build', '--plan', args.output)}")
    return _code(args, [decisions])


def _all(args: argparse.Namespace, workspaces: "Sequence[Workspace]", console: "Console") -> int:
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
    return _code(args, [decisions for _, decisions in decided])


def _code(args: argparse.Namespace, plans: "Sequence[Mapping[str, Decision]]") -> int:
    from jessy_build.steps import explain

    idle = all(explain.word(decision) == "cached" for plan in plans for decision in plan.values())
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


def _save(
    args: argparse.Namespace, workspace: "Workspace", decisions: "Mapping[str, Decision]"
) -> None:
    from jessy_build.steps import saved

    kept = saved.options_of(args, recipe.SHAPING)
    saved.write(Path(args.output), args.recipe, kept, workspace, decisions)

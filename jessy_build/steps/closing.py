"""The last lines of a build: what was made, where it lies, and what to type next."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import units
from jessy_build.console import Summary
from jessy_build.engine.schedule import Result
from jessy_build.steps import gguf
from jessy_build.steps.builds import Workspace

if TYPE_CHECKING:
    from jessy_build.reports.data import BeforeAfter


def summary(workspace: Workspace, result: Result) -> Summary:
    recipe = workspace.loaded.recipe
    return Summary(
        title=f"{recipe.name} {recipe.version}",
        facts=tuple(_facts(workspace, result)),
        answers=_answers(result),
        next=tuple(_next(workspace, result)),
    )


def next_lines(workspace: Workspace, result: Result) -> list[str]:
    """The block of commands alone, for a build that had nothing to do."""
    commands = list(_next(workspace, result))
    width = max((len(command) for command, _ in commands), default=0)
    return ["", "Next:", *(f"  {command:{width}}   {does}" for command, does in commands)]


def effect(workspace: Workspace, result: Result) -> dict[str, Any] | None:
    """What must still hold in the world for the build to be as it was left."""
    deployed = result.made.get("deploy")
    if deployed is None or workspace.loaded.recipe.deploy is None:
        return None
    facts, host = deployed.facts, workspace.settings.ollama_host
    return {"host": host, "tag": facts.get("tag"), "digest": facts.get("digest")}


def _facts(workspace: Workspace, result: Result) -> Iterator[tuple[str, str]]:
    folder = workspace.folder
    alone = None
    if "gguf" in result.made:
        written = result.made["gguf"].facts
        alone = written.get("adapter")
        yield ("model", f"{_path(folder / gguf.FILE)}   {units.size(written['bytes'])}")
    if alone is not None:
        yield ("adapter", f"{_path(folder / gguf.ADAPTER)}   {units.size(alone)}")
    elif "train" in result.made:
        yield ("adapter", _path(folder / "adapter"))
    if "deploy" in result.made:
        facts = result.made["deploy"].facts
        on = facts["tag"] if facts["target"] == "ollama" else f"not deployed: {facts['why']}"
        yield ("ollama", on)
    if "report" in result.made:
        yield ("report", _path(folder / "report.html"))


def _answers(result: Result) -> "tuple[BeforeAfter, ...]":
    if "evaluate" not in result.made:
        return ()
    from jessy_build.reports import figures
    from jessy_build.steps import report_data

    return figures.summary_rows(report_data.comparisons(result.made["evaluate"]))


def _next(workspace: Workspace, result: Result) -> Iterator[tuple[str, str]]:
    options = workspace.loaded.options
    recipe = shlex.join((_path(workspace.loaded.path), *options))
    run = "just" if (Path.cwd() / "Justfile").exists() else "jessy"
    if "gguf" in result.made:
        yield (f"{run} chat {recipe}", "talk to it")
    builds = [b for b in workspace.store.ledger.builds(workspace.id) if b.status == "done"]
    if builds and not options:
        yield (f"{run} diff build:{builds[0].id} {recipe}", "what you changed since this build")
    if "deploy" in result.made:
        yield _serve(workspace, result.made["deploy"].facts)


def _serve(workspace: Workspace, facts: Any) -> tuple[str, str]:
    if facts["target"] == "ollama":
        return (f"ollama run {facts['tag']}", "the same model in Ollama")
    recipe = workspace.loaded.recipe
    model = facts.get("model") or recipe.name
    file = shlex.quote(_path(workspace.folder / "Modelfile"))
    return (f"ollama create {model} -f {file}", "where an Ollama is installed")


def _path(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

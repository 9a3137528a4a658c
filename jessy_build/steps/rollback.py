"""rollback: make a version live again that a server still has."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jessy_build.diagnostics import StepError
from jessy_build.steps import deploy, past
from jessy_build.steps.builds import Workspace
from jessy_build.steps.typed import command


@dataclass(frozen=True)
class Live:
    tag: str | None
    """The version; None where no tag of one is known."""
    digest: str
    """Of the model, as Ollama tells it."""
    build: int | None
    """The newest build of this store that deployed that very model, or found it there."""


@dataclass(frozen=True)
class Document:
    format: Literal[1]
    model: str
    host: str
    changed: bool
    """False where that version was live already."""
    live: Live
    before: Live | None
    """What was live until now; None where nothing was."""
    env_file: str | None
    """Where the name was written: the path of `deploy.env_file`, where it had to be changed."""
    problem: str | None
    """Why there is no way back to what was live until now."""


def rollback(workspace: Workspace, version: str | None) -> Document:
    from jessy_build.packaging import glance, live
    from jessy_build.packaging.ollama_server import Server

    settings, said = workspace.settings, workspace.loaded.recipe.deploy
    if said is None:
        raise StepError(
            f"{workspace.words} is deployed nowhere", hint="deploy.ollama says where a model goes"
        )
    host, model = settings.ollama_host, said.ollama.model
    server = Server(host, allow_remote="OLLAMA_HOST" in settings.env)
    if glance.version(host) is None:
        raise StepError(f"no Ollama answers at {host}", hint="start it: ollama serve")
    line = deploy.env_line(workspace.loaded)
    if line:
        line.must_be_writable()
    back = live.back(server, model, version, _known(workspace))
    name = back.live.tag or f"{model}:{live.LATEST}"
    written = line is not None and line.write(name)
    return Document(
        format=1,
        model=model,
        host=host,
        changed=back.changed,
        live=_told(workspace, back.live),
        before=_told(workspace, back.before) if back.before else None,
        env_file=said.env_file.path if written and said.env_file else None,
        problem=back.problem or None,
    )


def _known(workspace: Workspace) -> dict[str, str]:
    """Digest → tag of all that builds of this store put on the server, the last tag of each."""
    found: dict[str, str] = {}
    for tag, made in deploy.ours(workspace.store.ledger.artifacts("deploy"), workspace.settings):
        found.setdefault(made, tag)
    return found


def _told(workspace: Workspace, live: Any) -> Live:
    build = past.deployed_by(live.digest, workspace.store)
    return Live(live.tag, live.digest, build.id if build else None)


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)


def lines(document: Document, workspace: Workspace) -> Iterator[str]:
    recipe = workspace.loaded.recipe
    live, before = document.live, document.before
    if not document.changed:
        yield f"{_named(document, live)} is live already"
    else:
        until = f"; until now it was {_named(document, before)}" if before else ""
        yield f"{_named(document, live)} is live again{until}"
    if document.env_file and recipe.deploy and recipe.deploy.env_file:
        name = live.tag or f"{document.model}:latest"
        yield f"{document.env_file} says {recipe.deploy.env_file.key}={name}"
    if document.problem:
        yield f"There is no way back to what was live until now: {document.problem}"
    if document.changed and before and before.tag == f"{document.model}:{recipe.version}":
        yield (
            f"The recipe still says {recipe.version}: its next deploy makes that live,"
            f" as does {command('rollback', workspace.words)}"
        )


def _named(document: Document, live: Live) -> str:
    build = f" (build {live.build})" if live.build is not None else ""
    return f"{live.tag or f'{document.model} {live.digest[:12]}'}{build}"

"""Which model is live under which name in an Ollama server: put there, and taken away again."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jessy_build.diagnostics import StepError
from jessy_build.packaging.ollama_server import Server

LATEST, PREVIOUS = "latest", "previous"
"""Tags beside the versions: what is live, and what was live before another model took its place."""


def promote(server: Server, candidate: str, targets: tuple[str, ...], made: str) -> str:
    """All targets or none: the old ones are kept aside until the last copy is made.

    The last of them is the live name. What it named before stays as PREVIOUS; the words that come
    back say why it does not, which is no reason to take back what went well.
    """
    before = server.digests()
    kept = {target: f"{target}-before" for target in targets if target in before}
    try:
        for target, aside in kept.items():
            server.copy(target, aside)
        try:
            for target in targets:
                server.copy(candidate, target)
            after = server.digests()
            if wrong := [target for target in targets if after.get(target) != made]:
                raise StepError(f"Ollama did not take over {', '.join(wrong)}")
        except BaseException:
            _put_back(server, targets, kept)
            raise
        return _keep_previous(server, targets, kept, before, made)
    finally:
        for aside in kept.values():
            with suppress(StepError):
                server.delete(aside)


def _keep_previous(
    server: Server,
    targets: tuple[str, ...],
    kept: Mapping[str, str],
    before: Mapping[str, str],
    made: str,
) -> str:
    latest = targets[-1]
    previous = f"{latest.rpartition(':')[0]}:{PREVIOUS}"
    if latest not in kept or before[latest] == made or previous in targets:
        return ""
    try:
        server.copy(kept[latest], previous)
    except StepError as error:
        return error.problem
    return ""


def _put_back(server: Server, targets: tuple[str, ...], kept: Mapping[str, str]) -> None:
    for target in targets:
        with suppress(StepError):
            if target in kept:
                server.copy(kept[target], target)
            else:
                server.delete(target)


@dataclass(frozen=True, slots=True)
class Pruned:
    removed: tuple[str, ...]
    """Tags, the newest first."""
    problems: tuple[str, ...]


def prune(server: Server, model: str, ours: Iterable[tuple[str, str]], keep: int) -> Pruned:
    """Remove our older tags of a model. `ours` are tag and digest of what we put there, the newest
    first: a tag that has become another model since is not ours any more. Never raises.
    """
    try:
        served = server.digests()
    except StepError as error:
        return Pruned((), (error.problem,))
    latest = f"{model}:{LATEST}"
    found = dict.fromkeys(tag for tag, made in ours if served.get(tag) == made)
    tags = [tag for tag in found if tag.rpartition(":")[0] == model and tag != latest]
    removed, problems = [], []
    for tag in tags[keep:]:
        if served[tag] == served.get(latest):
            continue
        try:
            server.delete(tag)
            removed.append(tag)
        except StepError as error:
            problems.append(error.problem)
    return Pruned(tuple(removed), tuple(problems))


@dataclass(frozen=True, slots=True)
class Live:
    """What one gets who asks for a model by its name alone."""

    tag: str | None
    """The version; None where no tag of one is known."""
    digest: str


@dataclass(frozen=True, slots=True)
class Back:
    live: Live
    before: Live | None
    """None where nothing was live."""
    problem: str
    """Why what was live before could not be kept as PREVIOUS."""

    @property
    def changed(self) -> bool:
        return self.before is None or self.before.digest != self.live.digest


def back(server: Server, model: str, version: str | None, known: Mapping[str, str]) -> Back:
    """Make a version live again, or what was live before. `known` is digest → tag of our deploys.

    A version that was deployed anew under its old tag gets that tag back as well: the tag of what
    is live never names another model.
    """
    version = None if version == PREVIOUS else version
    served = server.digests()
    latest = f"{model}:{LATEST}"
    now = _live(served[latest], served, model, known) if latest in served else None
    source = _source(server.host, served, model, version, now)
    made = served[source]
    then = _live(made, served, model, known)
    if version is not None:
        then = Live(source, made)
    back = Back(then, now, "")
    if not back.changed:
        return back
    moved = (then.tag,) if then.tag and served.get(then.tag) != made else ()
    return Back(then, now, promote(server, source, (*moved, latest), made))


def _source(
    host: str, served: Mapping[str, str], model: str, version: str | None, now: Live | None
) -> str:
    tags = _versions(served, model)
    has = f"it has {', '.join(tags)}" if tags else "build a recipe that deploys it first"
    if version is not None:
        source = f"{model}:{version}"
        if source not in tags:
            raise StepError(f"Ollama at {host} has no version {source}", hint=has)
        return source
    source = f"{model}:{PREVIOUS}"
    if now is None:
        raise StepError(f"Ollama at {host} has no {model}, so nothing is live", hint=has)
    if served.get(source) in (None, now.digest):
        others = [tag.rpartition(":")[2] for tag in tags if served[tag] != now.digest]
        raise StepError(
            f"nothing is known that was live before {now.tag or f'{model}:{LATEST}'}",
            hint=f"say which: --to {' | '.join(others)}" if others else "there is no other version",
        )
    return source


def _live(made: str, served: Mapping[str, str], model: str, known: Mapping[str, str]) -> Live:
    ours = known.get(made)
    tags = [tag for tag in _versions(served, model) if served[tag] == made]
    return Live(ours if ours in tags or not tags else tags[0], made)


def _versions(served: Mapping[str, str], model: str) -> list[str]:
    """Not what a deploy keeps for itself, or has left where a server died."""
    return sorted(
        tag
        for tag in served
        if tag.rpartition(":")[0] == model
        and tag.rpartition(":")[2] not in (LATEST, PREVIOUS)
        and not tag.endswith(("-candidate", "-before"))
    )

"""Which model is live under which name in an Ollama server: put there, and taken away again."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jessy_build.diagnostics import StepError
from jessy_build.packaging.ollama_server import Server


def promote(server: Server, candidate: str, targets: tuple[str, ...], made: str) -> None:
    """All targets or none: the old ones are kept aside until the last copy is made."""
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
    finally:
        for aside in kept.values():
            with suppress(StepError):
                server.delete(aside)


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
    latest = f"{model}:latest"
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

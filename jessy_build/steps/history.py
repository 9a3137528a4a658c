"""history: the versions of a model, what each took and how good it came out, and which is live."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from jessy_build import digest, units
from jessy_build.console import Console
from jessy_build.diagnostics import StepError, near
from jessy_build.engine.decisions import Decided
from jessy_build.engine.ledger import Build
from jessy_build.steps import past as pasts
from jessy_build.steps import spending
from jessy_build.steps.past import Past, others
from jessy_build.steps.spending import Spending

HEADERS = (
    *("", "version", "build", "date", "recipe", "took", "ran/cached"),
    *("cost", "loss", "answer"),
)
NOTHING = "–"


@dataclass(frozen=True)
class Version:
    build: int
    recipe: str
    name: str
    version: str
    status: str
    digest: str
    """Of the recipe as it was resolved."""
    started: float
    seconds: float | None
    ran: int
    cached: int
    spent: Spending
    loss: float | None
    """Validation loss of the adapter that was kept."""
    answer_tokens: float | None
    """Of the median answer to the evaluation's prompts."""
    answer_seconds: float | None
    tag: str | None
    """Under which it was deployed."""
    served: bool
    """Whether Ollama serves this very one under its tag now."""
    live: bool
    """And under `latest` too, which is what one gets who asks for the model by its name alone."""


@dataclass(frozen=True)
class Document:
    format: Literal[1]
    name: str
    versions: tuple[Version, ...]
    """Newest first."""
    left_out: int
    """Builds that made nothing new, or did not end well."""
    live: Literal["known", "nobody answers", "never deployed"]
    host: str


def document(past: Past, name: str, every: bool) -> Document:
    builds = _builds(past, name)
    shown = [b for b in builds if every or past.status(b) == "done"]
    decided = {b.id: past.store.ledger.decisions.of_build(b.id) for b in shown}
    deployed = {id: _deployed(steps) for id, steps in decided.items()}
    ever = any(deployed.values())
    served = _served(past) if ever else {}
    spent = spending.by_build(past, shown)
    tagged, latest = (_newest(deployed, served or {}, under) for under in ("", "latest"))
    versions = tuple(
        replace(
            _version(past, build, decided[build.id], spent[build.id]),
            served=build.id in tagged,
            live=build.id in latest,
        )
        for build in shown
    )
    known: Any = "never deployed" if not ever else "nobody answers" if served is None else "known"
    return Document(1, name, versions, len(builds) - len(shown), known, past.settings.ollama_host)


def _builds(past: Past, name: str) -> list[Build]:
    """By the model's name, its name in Ollama, or the recipe."""
    every = past.builds()
    here = _recipe(past, name)
    found = [b for b in every if name in (b.name, b.recipe, _model(b), _tag(b)) or b.recipe == here]
    if found:
        return found
    names = list(dict.fromkeys(build.name for build in every))
    hint = near(name, past.recipes()) or others(name, names)
    raise StepError(f"nothing called '{name}' was built here", hint=hint)


def _recipe(past: Past, name: str) -> str | None:
    try:
        return past.recipe(Path(name))
    except StepError:
        return None


def _model(build: Build) -> str | None:
    ollama = (build.config.get("deploy") or {}).get("ollama")
    return str(ollama["model"]) if ollama else None


def _tag(build: Build) -> str:
    return f"{_model(build)}:{build.version}"


def _deployed(steps: Mapping[str, Decided]) -> tuple[str, str] | None:
    """Tag and digest of what the build put into a server, or found there."""
    for decided in steps.values():
        if decided.measured.get("target") == "ollama" and decided.outcome in ("ran", "reused"):
            return str(decided.measured["tag"]), str(decided.measured["digest"])
    return None


def _served(past: Past) -> dict[str, str] | None:
    from jessy_build.packaging import glance

    return glance.live(past.settings.ollama_host)


def _newest(
    deployed: Mapping[int, tuple[str, str] | None], served: Mapping[str, str], under: str
) -> set[int]:
    """Of the builds that put a model there, or found it there, the newest one for each tag."""
    found: dict[str, int] = {}
    for build, model in deployed.items():
        if model is not None:
            tag, made = model
            name = f"{tag.partition(':')[0]}:{under}" if under else tag
            if served.get(name) == made:
                found.setdefault(name, build)
    return set(found.values())


def _version(past: Past, build: Build, steps: Mapping[str, Decided], spent: Spending) -> Version:
    outcomes = [decided.outcome for decided in steps.values()]
    deployed = _deployed(steps)
    tuned = _measured(steps, "evaluate").get("tuned", {})
    return Version(
        build=build.id,
        recipe=build.recipe,
        name=build.name,
        version=build.version,
        status=past.status(build),
        digest=digest.of_value(build.config),
        started=build.started,
        seconds=build.seconds,
        ran=outcomes.count("ran"),
        cached=outcomes.count("reused"),
        spent=spent,
        loss=_loss(steps),
        answer_tokens=tuned.get("tokens"),
        answer_seconds=tuned.get("seconds"),
        tag=deployed[0] if deployed else None,
        served=False,
        live=False,
    )


def _loss(steps: Mapping[str, Decided]) -> float | None:
    """Of the adapter that became the result."""
    made = _measured(steps, "select") or _measured(steps, "train")
    loss: float | None = made.get("best", {}).get("loss")
    return loss


def _measured(steps: Mapping[str, Decided], step: str) -> Mapping[str, Any]:
    decided = steps.get(step)
    return decided.measured if decided else {}


def show(document: Document, console: Console) -> None:
    if document.versions:
        console.table([_row(version) for version in document.versions], HEADERS)
    for line in _notes(document):
        console.line(line)


def _row(version: Version) -> tuple[str, ...]:
    seconds, tokens = version.answer_seconds, version.answer_tokens
    answer = f"{tokens:.0f} tokens" if tokens is not None else NOTHING
    answer += f", {units.duration(seconds)}" if tokens is not None and seconds is not None else ""
    return (
        "live" if version.live else "served" if version.served else "",
        version.version,
        str(version.build),
        pasts.moment(version.started),
        version.digest[:8],
        units.duration(version.seconds) if version.seconds is not None else NOTHING,
        f"{version.ran}/{version.cached}"
        + ("" if version.status == "done" else f" {version.status}"),
        version.spent.words,
        f"{version.loss:.3f}" if version.loss is not None else NOTHING,
        answer,
    )


def _notes(document: Document) -> Iterator[str]:
    if document.left_out:
        count = f"{document.left_out} more build" + ("s" if document.left_out != 1 else "")
        yield f"{count} made nothing new or did not end well: --all shows them"
    if document.live == "nobody answers":
        yield f"No Ollama answers at {document.host}: which one is live is not known."
    elif document.live == "known" and not any(version.served for version in document.versions):
        yield f"The Ollama at {document.host} serves none of them."


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)

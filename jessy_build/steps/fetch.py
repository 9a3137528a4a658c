"""fetch: bring the base model here once, whole and proved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import bases, digest, units
from jessy_build.bases import folder
from jessy_build.diagnostics import StepError
from jessy_build.engine.files import FileDigests
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetched
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Base

name = "fetch"
version = 1
holds = always


@dataclass(frozen=True)
class Wanted:
    """The base that is to be fetched."""

    base: "Base"
    origin: Path
    """The folder that a local path is relative to."""
    planned: Mapping[str, str] | None
    """Of a local base: the sha256 of each of its files when the plan was made."""


def expand(loaded: "LoadedRecipe", digests: FileDigests) -> list[Step]:
    base = loaded.recipe.base
    params = {"model": base.model, "revision": base.revision, "sha256": base.sha256}
    source = bases.parse(base.model)
    planned: dict[str, str] | None = None
    origin = loaded.origin("base.model")
    if source.kind in ("path", "gguf"):
        # A local base is named by its content: where it lies decides nothing.
        path = origin / source.fields["path"]
        planned = digests.tree(path)
        local = digest.of_tree(planned) if path.is_dir() else planned[path.name]
        params = {"local": local, "sha256": base.sha256}
    span = loaded.span_of("base.model")
    about: dict[str, Any] = {
        "base.model": base.model,
        "base.revision": base.revision,
        "base.sha256": base.sha256,
        "base.model (content)": planned,
    }
    payload = Wanted(base, origin, planned)
    return [Step(name, name, version, params, {}, "network", span, payload, about)]


def run(job: Job) -> Facts:
    wanted: Wanted = job.step.payload
    try:
        fetched = _fetched(job, wanted)
    except StepError:
        # Half of it may have been copied before an edit, half after: nobody's fault but the edit's.
        _refuse(wanted, _now(wanted))
        raise
    if wanted.planned is not None:
        _refuse(wanted, _copied(fetched, wanted.planned))
    size = sum(file.stat().st_size for file in job.out.rglob("*") if file.is_file())
    return {"kind": fetched.kind, "path": _within(fetched.path, job.out), "bytes": size}


def _fetched(job: Job, wanted: Wanted) -> "Fetched":
    def progress(done: int, total: int | None, text: str) -> None:
        job.progress(done, total, "bytes", text)

    return bases.fetch(
        bases.parse(wanted.base.model),
        revision=wanted.base.revision,
        sha256=wanted.base.sha256,
        origin_dir=wanted.origin,
        out=job.out,
        work=job.work,
        settings=job.settings,
        progress=progress,
        cancelled=job.cancelled,
    )


def _copied(fetched: "Fetched", planned: Mapping[str, str]) -> dict[str, str | None]:
    """Every file that was copied or should have been, as it is now; None where it is not."""
    if not fetched.path.is_dir():
        return {name: digest.of_file(fetched.path) for name in planned}
    there = {file.name: digest.of_file(file) for file in fetched.path.iterdir()}
    names = {*there, *folder.choose(planned, where="the base")}
    return {name: there.get(name) for name in names}


def _now(wanted: Wanted) -> dict[str, str | None]:
    path = wanted.origin / bases.parse(wanted.base.model).fields.get("path", "")
    names = wanted.planned or {}
    files = {name: path / name if path.is_dir() else path for name in names}
    return {n: digest.of_file(file) if file.is_file() else None for n, file in files.items()}


def _refuse(wanted: Wanted, found: Mapping[str, str | None]) -> None:
    """The key names the base by its content, so nothing else may be kept under that key."""
    planned = wanted.planned or {}
    if wrong := sorted(name for name, sha256 in found.items() if sha256 != planned.get(name)):
        raise StepError(
            f"the base changed while it was read ({', '.join(wrong[:3])})",
            hint="build again when nobody writes there",
        )


def _within(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def summary(facts: Facts) -> str:
    return units.size(facts["bytes"])

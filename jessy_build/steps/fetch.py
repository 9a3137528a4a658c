"""fetch: bring the base model here once, whole and proved."""

from pathlib import Path
from typing import TYPE_CHECKING

from jessy_build import bases, units
from jessy_build.engine.events import StepProgress
from jessy_build.engine.files import FileDigests
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.plan.step import Step

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "fetch"
version = 1
holds = always


def expand(loaded: "LoadedRecipe", digests: FileDigests) -> list[Step]:
    base = loaded.recipe.base
    params = {"model": base.model, "revision": base.revision, "sha256": base.sha256}
    source = bases.parse(base.model)
    origin = loaded.origin("base.model")
    if source.kind in ("path", "gguf"):
        # A local base is named by its content: where it lies decides nothing.
        params = {"local": digests.of(origin / source.fields["path"]), "sha256": base.sha256}
    span = loaded.span_of("base.model")
    about = {f"base.{field}": value for field, value in params.items()}
    if "local" in params:
        about = {"base.model": base.model, "base.model (content)": params["local"]}
    payload = (base, origin)
    return [Step(name, name, version, params, {}, "network", span, payload, about)]


def run(job: Job) -> Facts:
    base, origin = job.step.payload

    def progress(done: int, total: int | None, text: str) -> None:
        job.emit(StepProgress(job.step.name, done, total, "bytes", text))

    fetched = bases.fetch(
        bases.parse(base.model),
        revision=base.revision,
        sha256=base.sha256,
        origin_dir=origin,
        out=job.out,
        work=job.work,
        settings=job.settings,
        progress=progress,
        cancelled=job.cancelled,
    )
    size = sum(file.stat().st_size for file in job.out.rglob("*") if file.is_file())
    return {"kind": fetched.kind, "path": _within(fetched.path, job.out), "bytes": size}


def _within(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def summary(facts: Facts) -> str:
    return units.size(facts["bytes"])

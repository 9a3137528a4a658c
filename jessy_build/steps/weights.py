"""The weights of a teacher that answers in this process: known when a plan is made, here when it
is asked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import bases, chat, digest, teachers, units
from jessy_build.bases import folder
from jessy_build.diagnostics import StepError
from jessy_build.engine import gc, locks
from jessy_build.engine.files import FileDigests
from jessy_build.engine.kind import Job
from jessy_build.engine.ledger import Ledger
from jessy_build.engine.pools import Gate
from jessy_build.example import Reply, Request
from jessy_build.teachers import mlx

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

WHERE = {"folder", "seen"}
"""Fields of a pinned teacher that tell where its weights lie, and not what they are."""


def pinned(loaded: "LoadedRecipe", name: str, ledger: Ledger) -> Any:
    """The teacher as it is asked: its weights by their digest, or their commit. Others stay as
    they are in the recipe."""
    config = loaded.recipe.teachers[name]
    if not isinstance(config, mlx.Config):
        return config
    source = bases.parse(config.model)
    template = chat.BUILTIN.get(config.chat_template or "", loaded.opened.chat_templates.get(name))
    said = {**config.model_dump(), "template": template}
    if source.kind == "hf":
        return mlx.Pinned(**said, weights=f"{config.model}@{config.revision}")
    where = place(loaded, name, config)
    files = _files(where, FileDigests(ledger))
    return mlx.Pinned(
        **said, folder=where, seen=_seen(where), weights=f"path:{digest.of_tree(files)}"
    )


def fetched(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The folders of weights that the teachers of a recipe, as it was resolved, are fetched to."""
    for teacher in recipe.get("teachers", {}).values():
        if teacher.get("kind") == "mlx" and teacher.get("revision") is not None:
            yield _folder(f"{teacher['model']}@{teacher['revision']}")


def _folder(weights: str) -> str:
    return digest.of_bytes(weights.encode())


def pool(*configs: Any) -> str:
    """What a step that asks them waits for: such weights fill the machine, as training does."""
    return "gpu" if any(isinstance(config, mlx.Pinned) for config in configs) else "network"


def place(loaded: "LoadedRecipe", name: str, config: mlx.Config) -> Path:
    """The folder that a `path:` model names."""
    path: str = bases.parse(config.model).fields["path"]
    return (loaded.origin(("teachers", name, "model")) / Path(path).expanduser()).resolve()


def folders(loaded: "LoadedRecipe") -> list[Path]:
    """Of all `path:` models that teachers have."""
    return [
        place(loaded, name, config)
        for name, config in loaded.recipe.teachers.items()
        if isinstance(config, mlx.Config) and bases.parse(config.model).kind == "path"
    ]


def about(name: str, config: Any) -> Mapping[str, Any]:
    """What is not in the recipe's own words: the files of a `path:` model, as one digest."""
    if not isinstance(config, mlx.Pinned) or config.revision is not None:
        return {}
    sha256 = config.weights.removeprefix("path:")
    return {f"teachers.{name}.model (content)": f"sha256 {sha256[:12]}"}


def _files(where: Path, digests: FileDigests) -> dict[str, str]:
    """Of all that decides an answer: a README may change."""
    return {name: digests.of(where / name) for name in _names(where)}


def _names(where: Path) -> tuple[str, ...]:
    return folder.choose((p.name for p in where.iterdir() if p.is_file()), where=str(where))


def _seen(where: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, size, time and inode of each file: enough to see that none was touched meanwhile."""
    stats = [(name, (where / name).stat()) for name in _names(where)]
    return tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats)


async def open(job: Job, config: Any) -> teachers.Teacher:
    """The teacher, ready to be asked. One that fills the machine holds the only place for such."""
    module = teachers.ASKING[config.kind]
    if not isinstance(config, mlx.Pinned):
        return module.open(config, job.settings)
    gate = job.pools.gate("gpu")
    await gate.__aenter__()
    try:
        return _Held(mlx.open(_here(job, config), job.settings), gate)
    except BaseException:
        await gate.__aexit__(None, None, None)
        raise


class _Held:
    """A teacher, and the place that is free for another one once it is closed."""

    def __init__(self, teacher: mlx.Mlx, gate: Gate) -> None:
        self.concurrency = teacher.concurrency
        self._teacher = teacher
        self._gate = gate

    async def ask(self, request: Request) -> Reply:
        return await self._teacher.ask(request)

    async def close(self) -> None:
        try:
            await self._teacher.close()
        finally:
            await self._gate.__aexit__(None, None, None)


def _here(job: Job, config: mlx.Pinned) -> mlx.Pinned:
    if config.folder is None:
        return config.model_copy(update={"folder": _fetched(job, config)})
    where = config.folder
    if not where.is_dir() or _seen(where) != config.seen:
        raise StepError(
            f"the files of {config.model} changed after the plan was made",
            hint="build again when nobody writes there",
        )
    folder.verify(where, where=config.model)
    return config


def _fetched(job: Job, config: mlx.Pinned) -> Path:
    """By commit, so it is fetched once for all recipes; what was cut off goes on from there."""
    source = bases.parse(config.model)
    root = job.settings.store / gc.MODELS / _folder(config.weights)
    done = root / folder.RESULT
    with locks.hold(root / "lock"):
        if not done.is_dir():
            bases.fetch(
                source,
                revision=config.revision,
                origin_dir=root,
                out=root,
                settings=job.settings,
                progress=lambda done, total, text: job.progress(done, total, "bytes", text),
                cancelled=job.cancelled,
            )
            size = sum(file.stat().st_size for file in done.iterdir())
            job.note(f"{config.model} was fetched, {units.size(size)}")
    return done

"""Rules about the models of teachers that answer in this process: an answer that is paid with time
must be known by the weights that gave it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, StepError, code
from jessy_build.recipe import paths
from jessy_build.recipe.paths import PathProblem
from jessy_build.recipe.placed import placed
from jessy_build.recipe.tree import Path
from jessy_build.teachers import mlx

if TYPE_CHECKING:
    from jessy_build.bases import Source
    from jessy_build.recipe.load import LoadedRecipe

NOT_PINNED = code("R240", "a teacher's model is not pinned, or pinned in vain")
NO_MODEL = code("R241", "a teacher's model is no model folder")

SHAPES = "hf:org/name or path:./model-folder"


def models_are_pinned(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, teacher in loaded.recipe.teachers.items():
        if isinstance(teacher, mlx.Config):
            yield from _of(loaded, ("teachers", name), teacher)


def _of(loaded: "LoadedRecipe", place: Path, teacher: mlx.Config) -> Iterator[Diagnostic]:
    from jessy_build import bases

    at = (*place, "model")
    try:
        source = bases.parse(teacher.model)
    except ValueError as error:
        problem = str(error).partition("; ")[0].replace("no base model", "no model")
        yield placed(loaded, at, NO_MODEL, problem, expected=SHAPES)
        return
    if source.kind not in ("hf", "path"):
        problem = f"a teacher of kind mlx has no {source.kind}: model"
        hint = "serve it with Ollama, and write kind: ollama"
        yield placed(loaded, at, NO_MODEL, problem, expected=SHAPES, hint=hint)
        return
    for complaint in bases.complaints(source, revision=teacher.revision, sha256=None):
        said = complaint.problem.replace("base", "model")
        yield placed(loaded, (*place, complaint.field), NOT_PINNED, said, hint=complaint.hint)
    if source.kind == "path":
        yield from _folder(loaded, at, source)


def _folder(loaded: "LoadedRecipe", at: Path, source: "Source") -> Iterator[Diagnostic]:
    from jessy_build.bases import folder

    opened = loaded.opened
    text = source.fields["path"]
    try:
        found = paths.resolve(text, opened.folder(loaded.span_of(at)), opened.ground, want="folder")
    except PathProblem as wrong:
        known = NO_MODEL if wrong.code == paths.MISSING else wrong.code
        yield placed(loaded, at, known, wrong.problem, expected=wrong.expected, hint=wrong.hint)
        return
    try:
        folder.choose((p.name for p in found.path.iterdir() if p.is_file()), where=f"'{text}'")
        folder.verify(found.path, where=f"'{text}'")
    except StepError as wrong:
        yield placed(loaded, at, NO_MODEL, wrong.problem, hint=wrong.hint)
    except OSError as wrong:
        problem = f"'{text}' cannot be read: {wrong.strerror or wrong}"
        yield placed(loaded, at, NO_MODEL, problem)

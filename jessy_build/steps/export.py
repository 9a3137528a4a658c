"""export: the rows that a model was trained on, in a format that other tools read.

Written beside the folder it is meant for and moved there as a whole; nothing that is not an
export of ours is replaced unless that is asked for.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jessy_build import digest, formats
from jessy_build.diagnostics import StepError, UsageError, near
from jessy_build.engine.rebuild import Reuse
from jessy_build.example import Example, Message, read_jsonl
from jessy_build.formats.writing import COLUMNS, SCORE, Out, present
from jessy_build.steps import score_rows
from jessy_build.steps.typed import command

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

MANIFEST = "export.json"
"""What lies in each export of ours, and tells it from folders of others."""
SPLITS = ("train", "valid")
SCORES = "scores"
"""What a judge said, in a column for each criterion."""
NAMES = (*COLUMNS, SCORES)


@dataclass(frozen=True)
class File:
    path: str
    """Within the folder."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Document:
    """What `export --json` prints; without `folder` it lies in the folder as `export.json`."""

    format: Literal[1]
    folder: str
    recipe: str
    version: str
    written_as: str
    """`chat`, `completions`, `conversations` or `parquet`."""
    columns: tuple[str, ...]
    """What stands beside the messages of a row, where the row has it."""
    rows: dict[str, int]
    """Of `train` and `valid`."""
    files: tuple[File, ...]


def columns_of(text: str) -> tuple[str, ...]:
    """`topic,source`, `all` or `none`; UsageError for what is none of them."""
    if text in ("all", "none"):
        return NAMES if text == "all" else ()
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in NAMES:
            hint = near(name, NAMES) or f"columns: {', '.join(NAMES)}, all, none"
            raise UsageError(f"there is no column '{name}'", hint=hint)
    return tuple(name for name in NAMES if name in names)


def _expanded(workspace: "Workspace", columns: Sequence[str]) -> tuple[str, ...]:
    judge = workspace.loaded.recipe.dataset.validate_.judge
    scores = [f"{SCORE}{name}" for name in judge.rubric] if judge and SCORES in columns else []
    return (*(name for name in columns if name != SCORES), *scores)


def export(
    workspace: "Workspace", form: str, columns: Sequence[str], folder: Path | None, force: bool
) -> Document:
    target = folder or workspace.folder / f"dataset-{form}"
    place = Path(os.path.normpath(Path.cwd() / target))
    _must_be_movable(place, target)
    train, rows = _built(workspace)
    columns = _expanded(workspace, columns)
    if not force:
        _must_be_ours(target)
    fresh = place.with_name(f".{place.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise StepError(f"{fresh.parent} cannot be written to: {error.strerror}") from None
    try:
        counts = _write(fresh, form, columns, train, rows)
        recipe = workspace.loaded.recipe
        document = Document(
            format=1,
            folder=str(target),
            recipe=recipe.name,
            version=recipe.version,
            written_as=form,
            columns=tuple(columns),
            rows=counts,
            files=tuple(_files(fresh)),
        )
        said = {name: value for name, value in asdict(document).items() if name != "folder"}
        text = json.dumps(said, ensure_ascii=False, indent=2) + "\n"
        (fresh / MANIFEST).write_text(text, encoding="utf-8")
        _sync(fresh)
        _put(fresh, place, force)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return document


def _built(workspace: "Workspace") -> tuple[Path, Path]:
    """The folders of `assemble` and `validate`, as a build would take them now."""
    decisions = workspace.decisions("assemble")
    found = []
    for step in ("assemble", "validate"):
        decision = decisions[step]
        if not isinstance(decision, Reuse):
            name = str(workspace.loaded.path)
            with suppress(ValueError):
                name = str(workspace.loaded.path.relative_to(Path.cwd()))
            build = command("build", name, *workspace.loaded.options, "--until", "assemble")
            raise StepError(
                "the data set of this recipe is not built, or no longer what the recipe says",
                hint=f"build it first: {build}",
            )
        found.append(workspace.store.view(decision.artifact, step))
    return found[0], found[1]


# What is written


def _write(
    folder: Path, form: str, columns: Sequence[str], data: Path, validated: Path
) -> dict[str, int]:
    counts = dict.fromkeys(SPLITS, 0)

    def rows(split: str) -> Iterator[Out]:
        for row in _rows(data / f"{split}.jsonl", validated, columns):
            counts[split] += 1
            yield row

    formats.named(form).write(folder, {split: rows(split) for split in SPLITS}, columns)
    return counts


def _rows(trained: Path, validated: Path, columns: Sequence[str]) -> Iterator[Out]:
    """A split has its rows in the order of all rows: the two files are read side by side."""
    examples = read_jsonl(validated / "examples.jsonl")
    scores = _scores(validated / score_rows.FILE, columns)
    with trained.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            row = json.loads(line)
            example = next(example for example in examples if example.id == row["id"])
            messages = tuple(Message(**message) for message in row["messages"])
            beside = {**_said(example), **scores.get((example.id, example.origin.source), {})}
            yield Out(messages, present(columns, beside))


def _said(example: Example) -> dict[str, Any]:
    return {
        **{name: value for name, value in example._asdict().items() if name in COLUMNS},
        "teacher": example.origin.teacher,
        "source": example.origin.source,
    }


def _scores(file: Path, columns: Sequence[str]) -> dict[tuple[str, str], dict[str, int]]:
    """By id and origin, in the names of their columns."""
    if not any(name.startswith(SCORE) for name in columns):
        return {}
    return {
        (one.id, one.source): {f"{SCORE}{name}": score for name, score in one.scores.items()}
        for one in score_rows.read(file.read_bytes().splitlines())
    }


# Where it is put


def _must_be_movable(place: Path, target: Path) -> None:
    """An export is put in its place as one folder: not around those who stand in it."""
    if place == Path.cwd() or place in Path.cwd().parents:
        raise UsageError(
            f"{target} is the folder you are in, or one around it",
            hint="name a folder below it, as -o shared",
        )


def _must_be_ours(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise UsageError(f"{target} is no folder", hint="name a folder that is new")
    if not any(target.iterdir()):
        return
    files = {file.path: file for file in _files(target) if file.path != MANIFEST}
    try:
        known = json.loads((target / MANIFEST).read_text("utf-8"))["files"]
        ours = {file["path"]: file["sha256"] for file in known}
    except (OSError, ValueError, KeyError, TypeError):
        ours = {}
    for path, file in files.items():
        if ours.get(path) != file.sha256:
            word = "was changed since it was exported" if path in ours else "is none of our files"
            raise UsageError(
                f"{target / path} {word}",
                hint="name another folder with -o, or take --force to write over it",
            )


def _put(fresh: Path, target: Path, force: bool) -> None:
    """As one folder in one move; with `force`, file by file among what else lies there."""
    if force and target.is_dir() and not target.is_symlink():
        with suppress(FileNotFoundError):
            (target / MANIFEST).unlink()
        # The list of the files goes last: without it nothing claims to be whole.
        for file in sorted(fresh.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(target / file.name)
        return
    if force and os.path.lexists(target):
        target.unlink()
    if not target.exists():
        fresh.rename(target)
        return
    _must_be_ours(target)
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old)


def _files(folder: Path) -> Iterator[File]:
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        plain = path.is_file() and not path.is_symlink()
        yield File(name, path.lstat().st_size, digest.of_file(path) if plain else "")


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lines(document: Document) -> Iterator[str]:
    rows = ", ".join(f"{count} {split}" for split, count in document.rows.items())
    yield f"{document.recipe} {document.version} as {document.written_as}: {rows}"
    for file in document.files:
        yield f"  {Path(document.folder) / file.path}"

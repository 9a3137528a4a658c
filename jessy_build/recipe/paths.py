"""Paths as a recipe writes them → files inside the project. Follows no link out of it."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from jessy_build.diagnostics import code, near

MISSING = code("R301", "a file or folder does not exist")
OUTSIDE = code("R302", "a path leaves the project folder")
NO_MATCH = code("R303", "a pattern matches no file")
NOT_A_PATH = code("R304", "a text is no usable path")

LOCK_ENDING = ".lock.yaml"
"""What a build writes beside its recipe. It is nobody's input, so no pattern matches it."""
REVIEW_ENDING = ".review.jsonl"
"""What people decided about examples. Beside its recipe, too, and no pattern's match."""
MAX_WALKED = 100_000
MAX_STARS = 3
MAX_LOOKED_AT = 3_000
"""Names that are looked at to guess which file is meant."""
MAGIC = re.compile(r"[*?\[]")


class PathProblem(Exception):
    def __init__(self, problem_code: str, problem: str, *, expected: str = "", hint: str = ""):
        super().__init__(problem)
        self.code = problem_code
        self.problem = problem
        self.expected = expected
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Ground:
    """Where paths may lead."""

    project: Path
    allow_outside: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """`shown` is the name for people: lexically beside the file that named it."""

    path: Path
    shown: str


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a file that names others, and how people see it."""

    path: Path
    shown: str

    def join(self, text: str) -> Found:
        return Found(self.path / text, os.path.normpath(os.path.join(self.shown, text)))  # noqa: PTH118


def is_lock(name: str) -> bool:
    return name.endswith(LOCK_ENDING)


def folder_of(found: Found) -> Folder:
    return Folder(found.path.parent, os.path.dirname(found.shown))  # noqa: PTH120


def resolve(text: str, folder: Folder, ground: Ground, *, want: str = "file") -> Found:
    """PathProblem unless a file (or, with `want`, a folder) stands there."""
    found = _inside(text, folder, ground)
    try:
        is_there = found.path.is_dir() if want == "folder" else found.path.is_file()
        exists = is_there or found.path.exists()
    except OSError as error:
        raise PathProblem(NOT_A_PATH, f"'{text}' cannot be looked up: {error.strerror}") from None
    if is_there:
        return found
    if exists:
        raise PathProblem(MISSING, f"'{text}' is not a {want}", expected=f"a {want}")
    raise PathProblem(
        MISSING,
        f"there is no {want} '{text}'",
        expected=f"a {want}, relative to {_here(folder)}",
        hint=_neighbour(found) or _elsewhere(text, folder, ground, want),
    )


def to_write(text: str, folder: Folder, ground: Ground, *, want: str = "file") -> Found:
    """A plain file, or a place where one can be made: PathProblem unless its folder is there.

    A folder, with `want`, is made with those above it.
    """
    found = _inside(text, folder, ground)
    try:
        is_there = found.path.is_dir() if want == "folder" else found.path.is_file()
        if found.path.exists() and not is_there:
            raise PathProblem(MISSING, f"'{text}' is not a {want}", expected=f"a {want}")
        if want == "file" and not found.path.parent.is_dir():
            raise PathProblem(
                MISSING,
                f"there is no folder for '{text}'",
                expected=f"a file in a folder that is there, relative to {_here(folder)}",
            )
    except OSError as error:
        raise PathProblem(NOT_A_PATH, f"'{text}' cannot be looked up: {error.strerror}") from None
    return found


@dataclass(frozen=True, slots=True)
class Walk:
    """`passed_over` are names of folders that no wildcard enters; `seen` collects all others."""

    passed_over: frozenset[str] = frozenset()
    seen: set[Path] = field(default_factory=set)


def glob(pattern: str, folder: Folder, ground: Ground, walk: Walk | None = None) -> list[Found]:
    """All files that match, in a fixed order. A wildcard matches no hidden name."""
    walk = walk or Walk()
    if not MAGIC.search(pattern):
        return [resolve(pattern, folder, ground)]
    parts = PurePosixPath(pattern).parts
    at = next(i for i, part in enumerate(parts) if MAGIC.search(part))
    wanted = parts[at:]
    if (
        ".." in wanted
        or wanted.count("**") > MAX_STARS
        or any("**" in p and p != "**" for p in wanted)
    ):
        problem = f"'{pattern}' is no usable pattern"
        raise PathProblem(NOT_A_PATH, problem, expected="a pattern such as rows/**/*.jsonl")
    base = _inside(str(PurePosixPath(*parts[:at])), folder, ground)
    inner = Folder(base.path, base.shown)
    found = [inner.join(name) for name in _walk(base.path, pattern, wanted, walk)]
    for match in found:
        _check_inside(match.path.resolve(), ground, pattern)
    if not found:
        raise PathProblem(
            NO_MATCH,
            f"no file matches '{pattern}'",
            expected=f"at least one file, relative to {_here(folder)}",
        )
    return sorted(found, key=lambda match: match.path.as_posix())


def _walk(base: Path, pattern: str, wanted: Sequence[str], walk: Walk) -> Iterator[str]:
    """Names below `base` that match. Follows no link to a folder: it might lead in a circle."""
    left = MAX_WALKED
    for folder, folders, files in os.walk(base):
        below = Path(folder).relative_to(base).parts
        walk.seen.add(Path(folder))
        left -= len(folders) + len(files)
        if left < 0:
            problem = f"'{pattern}' looks through more than {MAX_WALKED:,} files"
            raise PathProblem(NOT_A_PATH, problem, hint="begin it with the name of a folder")
        deeper = "**" in wanted or len(below) + 1 < len(wanted)
        entered = walk.passed_over.isdisjoint
        folders[:] = sorted(f for f in folders if deeper and f[0] != "." and entered((f,)))
        for file in sorted(files):
            names = (*below, file)
            if file.startswith(".") or is_lock(file) or file.endswith(REVIEW_ENDING):
                continue
            if _fits(names, wanted) and Path(folder, file).is_file():
                yield "/".join(names)


def _fits(names: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not names
    if wanted[0] == "**":
        if len(wanted) == 1:
            return bool(names)
        return any(_fits(names[i:], wanted[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], wanted[0]) and _fits(names[1:], wanted[1:])


def _inside(text: str, folder: Folder, ground: Ground) -> Found:
    if text.startswith("~"):
        raise PathProblem(
            NOT_A_PATH, f"'{text}' begins with '~'", hint="write the path from the recipe's folder"
        )
    found = folder.join(text)
    try:
        resolved = found.path.resolve()
    except (OSError, RuntimeError, ValueError):
        # A loop of links; Python says so in three ways, by version.
        raise PathProblem(NOT_A_PATH, f"'{text}' leads round in a circle of links") from None
    _check_inside(resolved, ground, text)
    return found


def _check_inside(resolved: Path, ground: Ground, text: str) -> None:
    if not ground.allow_outside and not resolved.is_relative_to(ground.project):
        raise PathProblem(
            OUTSIDE,
            f"'{text}' leaves the project folder",
            hint="move the file into the project, or write `allow_outside: true` in the recipe",
        )


def _here(folder: Folder) -> str:
    return f"{folder.shown}/" if folder.shown not in ("", ".") else "the recipe's folder"


def _neighbour(found: Found) -> str:
    try:
        names = [path.name for path in found.path.parent.iterdir()][:1000]
    except OSError:
        return ""
    return near(found.path.name, sorted(names))


def _elsewhere(text: str, folder: Folder, ground: Ground, want: str) -> str:
    """The file of that name in another folder of the project, as one would write it here."""
    tail = [part for part in PurePosixPath(text).parts if part not in ("..", ".", "/")]
    if not tail:
        return ""
    start = folder.path.resolve()
    around = [start] if start.is_relative_to(ground.project) else []
    best: tuple[int, Path] | None = None
    for path in _nearby([*around, ground.project], want == "folder"):
        if path.name == tail[-1]:
            alike = _common_end(path.parts, tail)
            if best is None or alike > best[0]:
                best = alike, path
    if best is None:
        return ""
    return f"did you mean '{PurePosixPath(os.path.relpath(best[1], start))}'?"


def _nearby(starts: Sequence[Path], folders: bool) -> Iterator[Path]:
    """What lies below, the nearest first, up to a bound. Follows no link, enters nothing hidden."""
    left = MAX_LOOKED_AT
    queue = list(dict.fromkeys(starts))
    known = set(queue)
    for here in queue:
        try:
            names = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in names:
            left -= 1
            if left < 0:
                return
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            path, inside = Path(entry.path), entry.is_dir()
            if inside and path not in known:
                known.add(path)
                queue.append(path)
            if inside == folders:
                yield path


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))

"""Recipes that are wrong, and what people are told about them. Run as a module to write it anew.

A case is `tests/failing/NAME.yaml`, with `NAME.expected` beside it. Lines that begin with
`# --set ` are its overrides. What it needs besides lies in `with/`.
"""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import Diagnostic, RecipeError, render
from jessy_build.recipe.load import load, source_lines
from jessy_build.teachers.rows import MAX_LINE

FAILING = Path(__file__).parent.parent / "failing"
SET = "# --set "


def written_cases() -> list[str]:
    return sorted(path.stem for path in FAILING.glob("*.yaml"))


def missing_recipe(folder: Path) -> None:
    """Nothing to write: the case is that there is nothing."""


def too_large_recipe(folder: Path) -> None:
    (folder / "too-large.yaml").write_text("# " + "x" * (1 << 20))


def folder_for_recipe(folder: Path) -> None:
    (folder / "a-folder.yaml").mkdir()


def link_loop(folder: Path) -> None:
    (folder / "link-loop.yaml").symlink_to("link-loop.yaml")


def with_rows(folder: Path, name: str, data: bytes) -> None:
    """A recipe that is right, and takes these rows."""
    base = (FAILING / "with" / "base.yaml").read_text(encoding="utf-8")
    recipe = base.replace("rows.jsonl", f"{name}.jsonl")
    (folder / f"{name}.yaml").write_text(recipe, encoding="utf-8")
    (folder / f"{name}.jsonl").write_bytes(data)


def rows_not_utf8(folder: Path) -> None:
    with_rows(folder, "rows-not-utf8", '{"user": "nasılsın", "assistant": "İyi!"}'.encode("cp1254"))


def row_too_long(folder: Path) -> None:
    with_rows(folder, "row-too-long", b'[{"user": "' + b"x" * MAX_LINE + b'"}]')


def rows_of_another_format(folder: Path) -> None:
    with_rows(folder, "rows-of-another-format", b"question;answer\n" * 25)


CLOSED: set[str] = set()


def rows_unreadable(folder: Path) -> None:
    with_rows(folder, "rows-unreadable", b"{}")
    path = folder / "rows-unreadable.jsonl"
    path.chmod(0)
    if os.access(path, os.R_OK):
        # The superuser may read everything; here the file is as closed to them as to others.
        if not CLOSED:
            sys.addaudithook(_stay_closed)
        CLOSED.add(str(path.resolve()))


def _stay_closed(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and str(args[0]) in CLOSED:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), args[0])


MADE_CASES: dict[str, Callable[[Path], None]] = {
    "missing": missing_recipe,
    "too-large": too_large_recipe,
    "a-folder": folder_for_recipe,
    "link-loop": link_loop,
    "rows-not-utf8": rows_not_utf8,
    "row-too-long": row_too_long,
    "rows-of-another-format": rows_of_another_format,
    "rows-unreadable": rows_unreadable,
}
"""Those that no repository should hold, made in a folder of the test."""


def problems(name: str, folder: Path = FAILING) -> tuple[list[Diagnostic], str]:
    """What `load` finds wrong with a case, as data and as people read it."""
    path = folder / f"{name}.yaml"
    overrides = overrides_of(path)
    with chdir(folder):
        try:
            load(Path(path.name), overrides)
        except RecipeError as error:
            texts = [render(d, source_lines(overrides)) + "\n" for d in error.diagnostics]
            return error.diagnostics, "".join(texts)
    raise AssertionError(f"{name}.yaml has no problem")


def overrides_of(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.removeprefix(SET) for line in lines if line.startswith(SET)]


def write_expected(folder: Path) -> None:
    for name in written_cases():
        (FAILING / f"{name}.expected").write_text(problems(name)[1], encoding="utf-8")
    for name, make in MADE_CASES.items():
        make(folder)
        (FAILING / f"{name}.expected").write_text(problems(name, folder)[1], encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        write_expected(Path(made))

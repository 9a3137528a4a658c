"""init: a small project of one's own that checks, plans and builds at once."""

import importlib.resources
import sys
from pathlib import Path

from jessy_build.diagnostics import StepError

PLAIN_NAMES = {"gitignore": ".gitignore"}
"""Files that tools would treat specially inside our package travel under another name."""
JESSY = "@JESSY@"
"""Stands in the Justfile for the program that made the project."""


def write(folder: Path) -> list[Path]:
    """Refuses a folder with anything in it: nothing of the user's is ever overwritten."""
    if folder.exists() and not folder.is_dir():
        raise StepError(f"{folder} is a file", hint="name a folder that is new")
    if folder.exists() and any(folder.iterdir()):
        raise StepError(f"{folder} exists and is not empty", hint="name a folder that is new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StepError(
            f"{folder} cannot be made: {error.strerror}",
            hint="name a folder where you may write",
        ) from None
    source = importlib.resources.files("jessy_build") / "starter"
    made: list[Path] = []
    with importlib.resources.as_file(source) as template:
        for file in sorted(p for p in template.rglob("*") if p.is_file()):
            relative = file.relative_to(template)
            target = folder / relative.with_name(PLAIN_NAMES.get(relative.name, relative.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8").replace(JESSY, _jessy())
            target.write_text(text, encoding="utf-8", newline="\n")
            made.append(target)
    return made


def _jessy() -> str:
    beside = Path(sys.executable).with_name("jessy")
    return str(beside) if beside.exists() else "jessy"

"""Say "nothing to do" without loading the recipe, when surely nothing was touched since.

The way git's index knows: size, times and inode of every file that the last build depended on. It
may only ever say "surely untouched"; whatever is doubtful takes the full road. So this file imports
next to nothing, not even pathlib, and the answer comes sooner than the recipe language could be
imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 3
AROUND = {"recipe", "project", "ledger", "said_in", "env"}
PARTS = {"format", "program", "files", "effect", "says"} | AROUND
RACY_NS = 50_000_000
"""A file changed this shortly before it is noted may change again without its times showing it:
the kernel's clock for files ticks every few milliseconds."""
VARIABLES = ("JESSY_STORE", "JESSY_SHARED_STORE", "OLLAMA_HOST", "COLUMNS")
"""Of the environment: what a build with nothing to do would say or do rests on them."""


def lines(command: str, recipe: str, env: Mapping[str, str]) -> list[str] | None:
    """What `build` or `plan` of this recipe would print, or None: take the full road."""
    note = _read(recipe, env)
    if note is None or any(note[part] != now for part, now in _around(recipe, env).items()):
        return None
    if note["program"] != _program():
        return None
    if any(_stat(path) != stat for path, stat in note["files"].items()):
        return None
    said: list[str] = note["says"][command]
    return said if _holds(note["effect"]) else None


def remember(
    recipe: str,
    env: Mapping[str, str],
    files: Iterable[str],
    effect: Mapping[str, Any] | None,
    says: Mapping[str, list[str]],
    unchanged: Callable[[], bool],
) -> None:
    """Note the state after a build that ended well; wait a moment if some of it is too fresh.

    `unchanged` is asked last: what was edited while the build ran is no state that was built.
    """
    stats = {path: stat for path in files if (stat := _stat(path))}
    if all(stat[1] % 1_000_000_000 == 0 for stat in stats.values()):
        # A file system that counts whole seconds: its times prove too little.
        return
    fresh_for = max(stat[1] for stat in stats.values()) + RACY_NS - time.time_ns()
    if fresh_for > 0:
        time.sleep(min(fresh_for, RACY_NS) / 1e9)
        if any(_stat(path) != stat for path, stat in stats.items()):
            return
    if not unchanged():
        return
    note = {
        "format": FORMAT,
        **_around(recipe, env),
        "program": _program(),
        "files": stats,
        "effect": effect,
        "says": says,
    }
    _write(_place(recipe, env), json.dumps(note))


def _write(path: str, text: str) -> None:
    """Or not: a build is not worse for a note that cannot be written."""
    from contextlib import suppress

    fresh = f"{path}.{os.getpid()}"
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(fresh, path)
        return
    with suppress(OSError):
        os.unlink(fresh)


def _read(recipe: str, env: Mapping[str, str]) -> Any:
    """The note, or None where there is none that is whole. Notes of other formats are others'."""
    try:
        with open(_place(recipe, env), "rb") as file:
            note = json.loads(file.read())
    except (OSError, ValueError):
        return None
    whole = isinstance(note, dict) and note.get("format") == FORMAT and note.keys() >= PARTS
    return note if whole else None


def _place(recipe: str, env: Mapping[str, str]) -> str:
    from jessy_build import places

    # For people; two recipes may share it, so the note says whose it is.
    path = _named(recipe)
    name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in path)[-120:]
    return os.path.join(places.store_of(recipe, env), "untouched", f"{name}.json")


def _named(recipe: str) -> str:
    """A link stays one: what a recipe names lies beside the link, not beside what it points to."""
    folder, name = os.path.split(recipe)
    return os.path.join(os.path.realpath(folder), name)


def _around(recipe: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What the answer rests on besides files."""
    from jessy_build import places

    return {
        "recipe": _named(recipe),
        "project": places.project_of(recipe),
        # Its times change with whatever is noted there; another one knows nothing of this build.
        "ledger": (_stat(os.path.join(places.store_of(recipe, env), "ledger.sqlite")) or [0])[-1],
        "said_in": os.getcwd(),
        "env": {name: env.get(name, "") for name in VARIABLES},
    }


def _program() -> list[Any]:
    """This very program: a changed file of ours takes the full road, too."""
    newest, count = 0, 0
    folders = [os.path.dirname(__file__)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    newest, count = max(newest, entry.stat().st_mtime_ns), count + 1
    return [sys.version, newest, count]


def _stat(path: str) -> list[int] | None:
    try:
        s = os.stat(path)
    except OSError:
        return None
    return [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]


def _holds(effect: Mapping[str, Any] | None) -> bool:
    """What the deploy did is still so: nobody answers where nobody did, or that very model does."""
    if effect is None:
        return True
    from jessy_build.packaging import glance

    if effect["digest"] is None:
        return not glance.listens(effect["host"])
    return bool(glance.serving(effect["host"], effect["tag"]) == effect["digest"])

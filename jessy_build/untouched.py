"""Say "nothing to do" without loading the recipe, when surely nothing was touched since.

The way git's index knows: size, times and inode of every file that the last build depended on. It
may only ever say "surely untouched"; whatever is doubtful takes the full road. So this file imports
next to nothing, and the answer comes sooner than the recipe language could be imported.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
RACY_NS = 50_000_000
"""A file changed this shortly before it is noted may change again without its times showing it:
the kernel's clock for files ticks every few milliseconds."""

Stat = list[int]


def lines(recipe: str, env: Mapping[str, str]) -> list[str] | None:
    """What a build of this recipe would print at its end, or None: take the full road."""
    note = _read(recipe, env)
    if note is None or note.get("format") != FORMAT or note["said_in"] != str(Path.cwd()):
        return None
    if note["env"] != _env(env) or note["program"] != _program():
        return None
    if any(_stat(path) != stat for path, stat in note["files"].items()):
        return None
    return note["lines"] if _holds(note["effect"]) else None


def remember(
    recipe: str,
    env: Mapping[str, str],
    files: Iterable[Path],
    effect: Mapping[str, Any] | None,
    lines: list[str],
) -> None:
    """Note the state after a build that ended well; wait a moment if some of it is too fresh."""
    stats = {str(path): stat for path in files if (stat := _stat(str(path)))}
    if all(stat[1] % 1_000_000_000 == 0 for stat in stats.values()):
        # A file system that counts whole seconds: its times prove too little.
        return
    fresh_for = max(stat[1] for stat in stats.values()) + RACY_NS - time.time_ns()
    if fresh_for > 0:
        time.sleep(min(fresh_for, RACY_NS) / 1e9)
        if any(_stat(path) != stat for path, stat in stats.items()):
            return
    note = {
        "format": FORMAT,
        "said_in": str(Path.cwd()),
        "env": _env(env),
        "program": _program(),
        "files": stats,
        "effect": effect,
        "lines": lines,
    }
    path = _place(recipe, env)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(note), encoding="utf-8")
    fresh.replace(path)


def _read(recipe: str, env: Mapping[str, str]) -> Any:
    try:
        return json.loads(_place(recipe, env).read_bytes())
    except (OSError, ValueError):
        return None


def _place(recipe: str, env: Mapping[str, str]) -> Path:
    from jessy_build import settings

    path = os.path.realpath(recipe)
    name = "".join(letter if letter.isalnum() else "-" for letter in path)[-120:]
    return settings.store_of(Path(path), env) / "untouched" / f"{name}.json"


def _env(env: Mapping[str, str]) -> dict[str, str]:
    return {name: env.get(name, "") for name in ("JESSY_STORE", "OLLAMA_HOST", "COLUMNS")}


def _program() -> list[Any]:
    """This very program: a changed file of ours takes the full road, too."""
    newest, count = 0, 0
    folders = [str(Path(__file__).parent)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    newest, count = max(newest, entry.stat().st_mtime_ns), count + 1
    return [sys.version, newest, count]


def _stat(path: str) -> Stat | None:
    try:
        s = Path(path).stat()
    except OSError:
        return None
    return [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]


def _holds(effect: Mapping[str, Any] | None) -> bool:
    """What the deploy did is still so: nobody answers where nobody did, or that very model does."""
    if effect is None:
        return True
    if effect["digest"] is None:
        return not _answers(effect["host"])
    from jessy_build.packaging import ollama

    return bool(ollama.serving(effect["host"], effect["tag"]) == effect["digest"])


def _answers(host: str) -> bool:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(host)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=0.3):
            return True
    except OSError:
        return False

"""This machine: where the store lies, which hosts and keys there are. Never in an action key."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jessy_build import places
from jessy_build.diagnostics import UsageError
from jessy_build.hosts import HERE

OLLAMA_PORT = 11434
OLLAMA_DEFAULT = f"http://127.0.0.1:{OLLAMA_PORT}"
UNITS = {"": 1, "B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12}

MOST_PROCESSES = 64

_HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*")
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>|B|MB|GB|TB)", re.I)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this machine says, and no recipe."""

    project: Path
    """Recipes' paths may not leave this folder."""
    store: Path
    ollama_host: str
    offline: bool = False
    shared_store: str = ""
    """Address of a store shared with others; it wins over the recipe's field `store`."""
    memory: int | None = None
    """Bytes that a training may take, whatever this machine has; None: what it has."""
    distributed: tuple[str, ...] = ()
    """Where the processes of a training run, by rank, the first one on this machine. None: in one,
    here. Others are logged in to by ssh, so no recipe may name them."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where keys are read from, one at a time, by the client that needs one. Not in `repr`."""

    @property
    def builds(self) -> Path:
        return self.project / "builds"


def project_of(recipe: Path) -> Path:
    """The nearest folder above the recipe that looks like a project, else the recipe's own."""
    return Path(places.project_of(str(recipe)))


def load(recipe: Path, env: Mapping[str, str] | None = None) -> Settings:
    env = dict(os.environ if env is None else env)
    return Settings(
        project=project_of(recipe),
        store=Path(places.store_of(str(recipe), env)),
        ollama_host=_url(env.get("OLLAMA_HOST") or OLLAMA_DEFAULT),
        offline=env.get("JESSY_OFFLINE", "") not in ("", "0"),
        shared_store=env.get("JESSY_SHARED_STORE", ""),
        memory=_bytes(env.get("JESSY_MEMORY", "")),
        distributed=_hosts(env.get("JESSY_TRAIN_DISTRIBUTED", "")),
        env=env,
    )


def _bytes(text: str) -> int | None:
    """A size as people write it: 24GB, 1.5 TB, or bytes."""
    if not text.strip():
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"JESSY_MEMORY is '{text}', which is no size", hint="as in JESSY_MEMORY=24GB"
        )
    return int(float(match["number"]) * UNITS[match["unit"].upper()])


def _hosts(text: str) -> tuple[str, ...]:
    """How many processes on this machine, or on which machines one each: 2, or
    127.0.0.1,mac-studio.local."""
    text = text.strip()
    if text.isdecimal() and 1 <= int(text) <= MOST_PROCESSES:
        named = [HERE] * int(text)
    else:
        named = [HERE if host == "localhost" else host for host in re.split(r"\s*,\s*", text)]
    if wrong := _no_hosts(named) if text else "":
        raise UsageError(
            f"JESSY_TRAIN_DISTRIBUTED is '{text}', {wrong}",
            hint="as in JESSY_TRAIN_DISTRIBUTED=2 for two processes on this machine, or"
            " JESSY_TRAIN_DISTRIBUTED=127.0.0.1,mac-studio.local",
        )
    return tuple(named) if len(named) > 1 else ()


def _no_hosts(named: Sequence[str]) -> str:
    for host in named:
        # What ssh and MLX would take for an option, or a number that is none of processes.
        if not _HOST.fullmatch(host) or host.isdecimal():
            return f"and '{host}' is neither a host nor a number from 1 to {MOST_PROCESSES}"
    if named[0] != HERE:
        return f"which begins with '{named[0]}'; the first one is this machine, {HERE}"
    if len(named) > MOST_PROCESSES:
        return f"which are {len(named)} hosts; {MOST_PROCESSES} at most train together"
    return ""


def _url(host: str) -> str:
    """OLLAMA_HOST as Ollama itself reads it: without a scheme the port may be left out."""
    if "://" not in host:
        name, slash, path = host.partition("/")
        if not name.rpartition("]")[2].partition(":")[2]:
            name = f"{name.rstrip(':')}:{OLLAMA_PORT}"
        host = f"http://{'127.0.0.1' if name.startswith(':') else ''}{name}{slash}{path}"
    # A server that listens on every address is asked on loopback.
    return host.replace("://0.0.0.0", "://127.0.0.1").rstrip("/")

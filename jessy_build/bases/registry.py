"""Ask the user's own package client for wheels, so that their mirror, proxy and keys are honoured.

uv reads its settings and pip reads its own: where the first cannot help, the other is asked.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from jessy_build.bases import child
from jessy_build.bases.order import Fetch
from jessy_build.diagnostics import StepError

Reason = Literal["missing", "other", "unreachable"]

_UNREACHABLE = re.compile(
    r"connection|connect error|dns error|resolution|timed? ?out|unreachable|retries|"
    r"network was disabled|network connectivity is disabled|client error \(|retrying",
    re.I,
)
_MISSING = re.compile(
    r"no version of|not found in|no matching distribution|no wheels? with a matching|"
    r"building from source is disabled|has no usable wheels",
    re.I,
)
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class _Client:
    name: str
    command: Sequence[str]
    """Up to where the wanted packages follow."""
    watch: Callable[[], Iterable[Path]]
    """The folders that grow while it downloads."""


@dataclass(frozen=True, slots=True)
class _Failure:
    client: str
    reason: Reason
    words: str


def download(wanted: Sequence[str], into: Path, scratch: Path, order: Fetch) -> None:
    """Put each `name==version` into the folder: unpacked by uv, as a `.whl` file by pip."""
    failures: list[_Failure] = []
    for client in _clients(into, scratch, order.settings.env):
        failure = _ask(client, wanted, scratch, order)
        if failure is None:
            return
        failures.append(failure)
    raise _explained(failures, wanted)


def _clients(into: Path, scratch: Path, env: Mapping[str, str]) -> Iterator[_Client]:
    if uv := _command("uv", env):
        cache = _uv_cache(uv, env)
        yield _Client(
            "uv",
            [
                *(*uv, "pip", "install", "--python", sys.executable, "--target", str(into)),
                *("--no-deps", "--no-build", "--no-progress", "--color", "never"),
            ],
            # uv unpacks here while it downloads; in a cache that works otherwise, nothing is seen.
            lambda: cache.glob(".tmp*") if cache else (),
        )
    if pip := _command("pip", env):
        yield _Client(
            "pip",
            [
                *(*pip, "download", "--dest", str(into), "--no-deps", "--only-binary", ":all:"),
                *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
                *("--retries", "1"),
            ],
            lambda: (scratch,),
        )


def _command(name: str, env: Mapping[str, str]) -> list[str] | None:
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if found:
        return [found]
    return [sys.executable, "-m", name] if find_spec(name) else None


def _uv_cache(uv: Sequence[str], env: Mapping[str, str]) -> Path | None:
    answer = subprocess.run([*uv, "cache", "dir"], env=dict(env), capture_output=True, text=True)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def _ask(client: _Client, wanted: Sequence[str], scratch: Path, order: Fetch) -> _Failure | None:
    what = f"{_short(wanted)}, downloading with {client.name}"
    ended = child.run(
        [*client.command, *wanted],
        # pip downloads through its temporary folder: ours can be watched, and is cleaned.
        env={**order.settings.env, "TMPDIR": str(scratch), "UV_PYTHON_DOWNLOADS": "never"},
        log=scratch / f"{client.name}.log",
        watch=client.watch,
        report=lambda done: order.progress(done, None, what),
        order=order,
    )
    return None if ended.status == 0 else _failure(client.name, ended.said)


def _short(wanted: Sequence[str]) -> str:
    return wanted[0] if len(wanted) == 1 else f"{wanted[0]} and {len(wanted) - 1} more"


def _failure(client: str, said: str) -> _Failure:
    said = _CREDENTIALS.sub(r"\1", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(error|cause)\b", line, re.I)] or lines
    words = re.sub(r"^(error|cause): ", "", telling[-1], flags=re.I) if telling else "no word"
    return _Failure(client, _reason(said), words)


def _reason(said: str) -> Reason:
    # This one first: before an unreachable registry, pip too says that there is no such version.
    if _UNREACHABLE.search(said):
        return "unreachable"
    return "missing" if _MISSING.search(said) else "other"


def _explained(failures: Sequence[_Failure], wanted: Sequence[str]) -> StepError:
    names = ", ".join(wanted)
    if not failures:
        return StepError(f"neither uv nor pip is here to fetch {names}", hint="pip install uv")
    words = "; ".join(f"{failure.client}: {failure.words}" for failure in failures)
    reasons = {failure.reason for failure in failures}
    if "missing" in reasons:
        return StepError(
            f"the package registry has no {names} for this machine ({words})",
            hint="compare name and version in the recipe's base.model with the registry",
        )
    if "other" in reasons:
        return StepError(f"{names} could not be fetched ({words})")
    return StepError(
        f"the package registry cannot be reached, and {names} is needed ({words})",
        hint="check the network and the index settings of uv and pip, then build again; "
        "a copy that lies here already can be named as gguf:./file.gguf",
    )

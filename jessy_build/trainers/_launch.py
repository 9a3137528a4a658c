"""Start a training on several processes or machines with mlx.launch, which the MLX package brings.

It hands nothing on when its input ends, and its exit code says nothing of theirs. So the order is
a file that its parent keeps locked as long as it wants the result; who ended first is read in the
log.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

from jessy_build import mlx_model
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.hosts import HERE
from jessy_build.trainers._ranks import LOST

ORDER = "order.json"
PROGRAM = ("-P", "-m", "jessy_build.trainers._child")
PORTS = range(20000, 32000)
"""Below those that systems give to whoever asks for any."""
NOISE = re.compile(
    rf"Node with rank|was closed by the peer|Too many send/recv|{re.escape(LOST)}|^\s*$"
)
"""What MLX says when one of several processes has ended, beside why."""

NO_LOGIN = 255
"""The exit code of ssh itself."""

_ENDED = re.compile(r"Node with rank (\d+) exited with code (-?\d+)")


def leash(order: Mapping[str, Any], work: Path) -> IO[str]:
    """The order as a file. Those who train hold on to it, and end once it is closed, however its
    parent died."""
    file = work / ORDER
    # Children of a killed build may still hold the former one.
    file.unlink(missing_ok=True)
    held = file.open("x", encoding="utf-8")
    fcntl.flock(held, fcntl.LOCK_EX)
    held.write(json.dumps(order))
    held.flush()
    return held


def wait(file: IO[str]) -> None:
    """Until the parent has let go."""
    fcntl.flock(file, fcntl.LOCK_SH)


def words(hosts: Sequence[str], work: Path, env: Mapping[str, str]) -> list[str]:
    """The command. `env` are variables that other machines would not have."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    launcher = shutil.which("mlx.launch", path=os.pathsep.join(folders))
    if launcher is None:
        raise MissingPackage("mlx", needed_for="training", install=mlx_model.INSTALL)
    hostfile = work / "hosts.json"
    at = [{"ssh": host, "ips": [ip]} for host, ip in zip(hosts, _addresses(hosts), strict=True)]
    hostfile.write_text(json.dumps(at), encoding="utf-8")
    return [
        *(launcher, "--backend", "ring", "--hostfile", str(hostfile)),
        *("--starting-port", str(_port(len(hosts))), "--python", sys.executable),
        *(word for name, value in env.items() for word in ("--env", f"{name}={value}")),
        *("--", *PROGRAM, str(work / ORDER)),
    ]


def first_to_end(said: str) -> tuple[int, int] | None:
    """Whose end brought the others down, by rank, and its exit code."""
    found = _ENDED.search(said)
    return (int(found[1]), int(found[2])) if found else None


def no_login(host: str, log: Path) -> StepError:
    return StepError(
        f"ssh cannot start a training process on '{host}'",
        hint=f"`ssh {host} true` must work from here without a question: install a key there, and"
        " log in once by hand",
        log=log,
    )


def _addresses(hosts: Sequence[str]) -> list[str]:
    """MLX's ring wants numbers; and others cannot reach this machine at its loopback."""
    found = [HERE if host == HERE else _resolved(host) for host in hosts]
    away = next((address for address in found if address != HERE), HERE)
    return [_towards(away) if address == HERE else address for address in found]


def _resolved(host: str) -> str:
    try:
        return socket.gethostbyname(host.rpartition("@")[2])
    except OSError as problem:
        raise StepError(
            f"the host '{host}' of JESSY_TRAIN_DISTRIBUTED cannot be found: {problem}",
            hint="check its name, or give its address",
        ) from None


def _towards(address: str) -> str:
    """This machine's own address as the other one sees it. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, PORTS[0]))
        return str(probe.getsockname()[0])


def _port(count: int) -> int:
    """The first of so many in a row that are free here. Where to look first differs by process, so
    that two trainings that begin together do not meet."""
    first = os.getpid() * 16 % len(PORTS)
    for port in chain(PORTS[first:], PORTS[:first]):
        if all(_free(one) for one in range(port, port + count)):
            return port
    raise StepError(f"no {count} ports in a row are free from {PORTS[0]} to {PORTS[-1]}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True

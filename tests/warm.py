"""`jessy` in a process that need not load its libraries first: forked from one that has.

Words, folder, environment, streams, number and exit code of the process are the command's own, and
it ends as any Python process does. What an interpreter reads only while it starts cannot be given
to a fork: where the environment says such a thing, there is none. Nor is there one in the first
seconds, while all is loaded.
"""

import gc
import importlib
import itertools
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

FORKS = sys.platform == "linux"
REPOSITORY = str(Path(__file__).parent.parent)
LIBRARIES = ("aiohttp", "anthropic", "ollama", "openai")
SEEDS = ("1", "2")
"""Of hashes. Two commands after one another go through sets in other orders, as they usually do, so
that what hangs on such an order differs."""
BEGAN = {**os.environ, "PYTHONPATH": REPOSITORY}
EARLY = ("LANG", "LC_", "LD_", "PYTHON", "TZ")
"""How names begin that are asked for once, as an interpreter starts."""
READY = b"."
NUMBER = struct.Struct("i")


def start(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    streams: Sequence[IO[Any]],
    session: bool = False,
) -> "Started | None":
    """`python -m jessy_build WORDS` with these as input, output and errors, if it can be forked;
    in a `session` of its own, which is a process group as well."""
    if not FORKS or _early(env) != _early(BEGAN):
        return None
    order = {"words": list(words), "cwd": str(cwd), "env": dict(env), "session": session}
    parent = next(_parents())
    try:
        return parent.fork(order, streams) if parent.is_ready() else None
    except (OSError, EOFError):
        # Whatever has ended it: this command starts as any other does, and later ones fork again.
        parent.begin()
        return None


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {name: said for name, said in env.items() if name.startswith(EARLY)}


@cache
def _parents() -> "Iterator[_Parent]":
    return itertools.cycle([_Parent(seed) for seed in SEEDS])


def get_ready() -> None:
    """All that can be forked is from now on: where times are compared, all are of one kind."""
    if FORKS:
        for _ in SEEDS:
            next(_parents()).is_ready(wait=True)


class Started:
    """As much of a `Popen` as tests ask for."""

    def __init__(self, told: int) -> None:
        self._told = told
        self._code: int | None = None
        self._one = threading.Lock()
        self.pid = self._number()

    def __del__(self) -> None:
        os.close(self._told)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it; TimeoutExpired once it is killed."""
        code = self._ended(timeout)
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired("jessy", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        """Several threads may wait."""
        if self._code is None and select.select([self._told], [], [], seconds)[0]:
            with self._one:
                self._code = self._number() if self._code is None else self._code
        return self._code

    def _number(self) -> int:
        told = os.read(self._told, NUMBER.size)
        if len(told) < NUMBER.size:
            raise EOFError("whoever should have told it is gone")
        (number,) = NUMBER.unpack(told)
        return int(number)


class _Parent:
    """Has loaded all, and waits for orders; it ends with the process that has started it."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.begin()

    def begin(self) -> None:
        self._orders, theirs = socket.socketpair()
        self._ready = False
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                cwd=REPOSITORY,
                env={**BEGAN, "PYTHONHASHSEED": self._seed},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def is_ready(self, wait: bool = False) -> bool:
        if not self._ready and select.select([self._orders], [], [], None if wait else 0)[0]:
            said = self._orders.recv(1)
            if not said:
                raise EOFError("it ended before it was ready")
            self._ready = said == READY
        return self._ready

    def fork(self, order: Mapping[str, Any], streams: Sequence[IO[Any]]) -> Started:
        hears, tells = os.pipe()
        with TemporaryFile("w+", encoding="utf-8") as written:
            json.dump(order, written)
            written.seek(0)
            passed = [written.fileno(), tells, *(stream.fileno() for stream in streams)]
            socket.send_fds(self._orders, [b"!"], passed)
        os.close(tells)
        return Started(hears)


def _serve(orders: socket.socket) -> dict[str, Any] | None:
    """Returns an order in the fork that is to follow it, and None once nobody is there to order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    orders.send(READY)
    while True:
        said, passed, _, _ = socket.recv_fds(orders, 1, 5)
        if not said:
            return None
        if os.fork() == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _watched(*passed)
        for number in passed:
            os.close(number)


def _watched(order: int, tells: int, *streams: int) -> dict[str, Any]:
    """A second fork follows the order; this one says how it ends."""
    if pid := os.fork():
        for number in (order, *streams):
            os.close(number)
        _, status = os.waitpid(pid, 0)
        os.write(tells, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    with open(order, encoding="utf-8") as written:
        told: dict[str, Any] = json.load(written)
    if told["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.write(tells, NUMBER.pack(os.getpid()))
    os.close(tells)
    return told


def _load() -> None:
    import jessy_build

    for module in pkgutil.walk_packages(jessy_build.__path__, "jessy_build."):
        # Those with such a name are programs of their own, or only for one.
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main() -> None:
    _load()
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    if order is None:
        return
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.argv[1:] = order["words"]
    runpy.run_module("jessy_build", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

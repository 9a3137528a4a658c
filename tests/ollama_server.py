"""A real Ollama for the tests: its own process, port, home and model folder."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.required import missing

START_SECONDS = 30
MISSING = (
    "no Ollama here: put one on PATH or name it in JESSY_TEST_OLLAMA "
    "(tests/install_ollama.sh builds one)"
)


def binary() -> str | None:
    named = os.environ.get("JESSY_TEST_OLLAMA")
    return shutil.which(named or "ollama")


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of a server that knows no model; a skip where no Ollama is installed."""
    program = binary()
    if program is None:
        missing("ollama", MISSING)
    host = f"http://127.0.0.1:{_free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve"],
            env=environment(folder, host),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(host, process, folder / "server.log")
            yield host
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole group: where a server crashed, its runners would live on."""
    for word in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, word)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def environment(folder: Path, host: str) -> dict[str, str]:
    """For the server and its command-line client; nothing of the user's own Ollama gets in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
    return {
        **kept,
        "HOME": str(folder),
        "OLLAMA_HOST": host.removeprefix("http://"),
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_KEEP_ALIVE": "2m",
        "OLLAMA_NOHISTORY": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        connection = HTTPConnection(host.removeprefix("http://"), timeout=1)
        try:
            connection.request("GET", "/api/version")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    pytest.fail(f"ollama serve did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session", name="ollama_server")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("ollama")) as host:
        yield host

"""Trackers as the build sees them: started, told how the training ended, and waited for briefly.

Whatever becomes of one is said once and noted. It never raises.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jessy_build.masking import masked, names_a_key
from jessy_build.trackers.order import Memory, Order, State

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
QUIET = {
    # No word to anybody but the service that is named, and no waiting for one that is away.
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
THEIRS = ("WANDB_", "MLFLOW_", "DATABRICKS_")
"""How variables begin whose keys a tracker may see."""
SHORTEST_KEY = 6
LONGEST = 300
Say = Callable[[str], None]


class Services:
    def __init__(self, orders: Sequence[Order], env: Mapping[str, str], note: Say) -> None:
        self._children = list[_Child]()
        self._begun = False
        for order in orders:
            try:
                self._children.append(_Child(order, env, note))
            except OSError as error:
                note(f"{order.kind} does not follow the training: {error}")

    def begin(self) -> None:
        """The metrics of this attempt are there. Said again, it changes nothing."""
        if not self._begun:
            self._begun = True
            self._say("begin")

    def end(self, state: State) -> None:
        self._say(state)
        for child in self._children:
            child.close()
        if state != "stopped":
            for child in self._children:
                child.wait()

    def facts(self) -> dict[str, Any]:
        return {child.kind: child.facts() for child in self._children}

    def _say(self, word: str) -> None:
        for child in self._children:
            child.say(word)


@contextmanager
def services(orders: Sequence[Order], env: Mapping[str, str], note: Say) -> Iterator[Services]:
    """A build that is stopped waits for none: what was trained until then is told all the same."""
    following = Services(orders, env, note)
    state: State = "failed"
    try:
        yield following
        state = "finished"
    except KeyboardInterrupt:
        state = "stopped"
        raise
    finally:
        following.end(state)


class _Child:
    """The process of one service, in a group of its own: the package may start others."""

    def __init__(self, order: Order, env: Mapping[str, str], note: Say) -> None:
        self.kind, self.where, self.problem = order.kind, "", ""
        self._order = order
        self._env, self._note = env, note
        Path(order.folder).mkdir(parents=True, exist_ok=True)
        with Path(order.work, f"{order.kind}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "jessy_build.trackers._child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=_environment(env),
                cwd=order.folder,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.say(json.dumps(asdict(order)))

    def say(self, word: str) -> None:
        assert self._process.stdin
        # One that has ended has said why.
        with suppress(BrokenPipeError):
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self) -> None:
        """Its own clock ends it, and this one if that one does not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._order.patience + 1)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1)

    def facts(self) -> dict[str, Any]:
        """What became of it. `told` counts lines of the metrics."""
        told = Memory.of(self._order.memory).told
        return {"where": self.where, "told": told, "problem": self.problem}

    def _read(self) -> None:
        assert self._process.stdout
        done = False
        for line in self._process.stdout:
            said = json.loads(line)
            if where := said.get("where"):
                self.where = where
                self._note(f"{self.kind} follows the training: {where}")
            if problem := said.get("problem"):
                self._fail(_shown(problem, self._env), said["hint"])
            done = done or "done" in said
        if not done and not self.problem:
            late = f"{self._order.patience:g} s after the training it had not taken all of it"
            self._fail(late, "look whether its server answers")

    def _fail(self, problem: str, hint: str) -> None:
        self.problem = problem
        self._note(f"{self.kind} does not follow the training: {problem}; {hint}")


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """No key but those of the services, and this very package, installed or not."""
    kept = {k: v for k, v in env.items() if k.startswith(THEIRS) or not names_a_key(k)}
    path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), env.get("PYTHONPATH"))))
    return {**QUIET, **kept, "PYTHONPATH": path}


def _shown(problem: str, env: Mapping[str, str]) -> str:
    """A line of it at most, and no key."""
    for name, value in env.items():
        if names_a_key(name) and len(value) >= SHORTEST_KEY:
            problem = problem.replace(value, "*" * 8)
    return masked(problem.partition("\n")[0])[:LONGEST]

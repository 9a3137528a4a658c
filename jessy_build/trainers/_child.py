"""The training process: one job in on its input, JSON lines out. Its parent may vanish any time."""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.trainers._session import Session
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import TrainJob

PATHS = ("base", "dataset", "out", "work")


def main() -> None:
    say = _speaker()
    order = json.loads(sys.stdin.buffer.readline() or b"null")
    if order is None:
        return
    try:
        session = Session(_job(order), say, order["pieces"])
        threading.Thread(target=_watch, args=(session,), daemon=True).start()
        session.run()
    except StepError as problem:
        say("failed", problem=problem.problem, hint=problem.hint)
    except ModuleNotFoundError as problem:
        missing = MissingPackage(
            problem.name or str(problem),
            needed_for="training",
            install="uv pip install 'jessy-build[mlx]'",
        )
        say("failed", problem=missing.problem, hint=missing.hint)
    except BaseException:
        try:
            traceback.print_exc()
        finally:
            # Also when there is no memory left to say so.
            os._exit(1)
    # Threads of a BLAS may take their time to end; nothing is left to write.
    os._exit(0)


def _job(order: dict[str, Any]) -> TrainJob:
    config = Config.model_validate_json(json.dumps(order["config"]))
    paths = {name: Path(order[name]) for name in PATHS}
    return TrainJob(**paths, config=config, save_seconds=order["save_seconds"])


def _speaker() -> Callable[..., None]:
    """Lines for the parent. What libraries print goes to the log, which is the error stream."""
    mouth = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **fields: Any) -> None:
        try:
            mouth.write(json.dumps({"event": event, **fields}) + "\n")
            mouth.flush()
        except BrokenPipeError:
            # The parent has gone; the watcher sees it too, and ends this process in order.
            threading.Event().wait(60)

    return say


def _watch(session: Session) -> None:
    """The end of the input means: the parent has gone, or wants the end.

    A step may take seconds, so the last finished one is saved from here, without waiting.
    """
    while os.read(0, 1):
        pass
    session.save_now()
    os._exit(0)


if __name__ == "__main__":
    main()

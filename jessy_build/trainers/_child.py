"""The training process: one job in, JSON lines out. Its parent may vanish any time.

Alone it reads the job from its input; one of several is started by mlx.launch, with a file.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

from jessy_build import mlx_model, unneeded
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _launch, _ranks
from jessy_build.trainers._session import Session
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import TrainJob

PATHS = ("base", "dataset", "out", "work")
ENDED_SECONDS = 10.0
"""For mlx.launch to see who ended first and end the others, or for a save to come to its end."""


def main() -> None:
    unneeded.leave_out()
    say = _speaker()
    if len(sys.argv) > 1:
        _one_of_several(Path(sys.argv[1]), say)
    order = json.loads(sys.stdin.buffer.readline() or b"null")
    if order is None:
        return
    session = Session(_job(order), say, order["pieces"])
    threading.Thread(target=_watch, args=(session,), daemon=True).start()
    _end(session.run, say)


def _one_of_several(file: Path, say: Callable[..., None]) -> NoReturn:
    # So that mlx.launch need not look all the time whether it could write there.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    rank = int(os.environ["MLX_RANK"])
    say("here", rank=rank)
    # mlx.launch ends all when one has ended; this thread and all that follow leave that to `_told`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    sessions: list[Session] = []
    threading.Thread(target=_told, args=(sessions,), daemon=True).start()
    held = file.open(encoding="utf-8")
    order = json.load(held)
    say, wrong = (say, say) if rank == 0 else (_silence, _log)

    def run() -> None:
        ranks = _ranks.join(order["hosts"])
        session = Session(_job(order), say, order["pieces"], ranks)
        sessions.append(session)
        if ranks.here:
            threading.Thread(target=_hold, args=(held, sessions), daemon=True).start()
        session.run()

    _end(run, wrong)


def _end(run: Callable[[], None], say: Callable[..., None]) -> NoReturn:
    try:
        run()
    except StepError as problem:
        say("failed", problem=problem.problem, hint=problem.hint)
    except ImportError as problem:
        missing = mlx_model.missing(problem, "training")
        say("failed", problem=missing.problem, hint=missing.hint)
    except BaseException as problem:
        try:
            # Another one has ended; or mlx.launch, through which mlx-lm prints with rich.
            unheard = isinstance(problem, (BrokenPipeError, SystemExit))
            if unheard or str(problem).startswith(_ranks.LOST):
                time.sleep(ENDED_SECONDS)
            traceback.print_exc()
        finally:
            # Also when there is no memory left to say so.
            os._exit(1)
    # Threads of a BLAS may take their time to end; nothing is left to write.
    os._exit(0)


def _job(order: dict[str, Any]) -> TrainJob:
    config = Config.model_validate_json(json.dumps(order["config"]))
    paths = {name: Path(order[name]) for name in PATHS}
    hosts = tuple(order["hosts"])
    return TrainJob(**paths, config=config, save_seconds=order["save_seconds"], hosts=hosts)


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


def _silence(event: str, **_: Any) -> None:
    """Rank 0 tells the same."""


def _log(event: str, **fields: Any) -> NoReturn:
    """What only this one has met ends it, and so all; its log is theirs."""
    sys.stderr.write(f"{fields['problem']}\n")
    sys.stderr.flush()
    os._exit(1)


def _told(sessions: list[Session]) -> None:
    signal.sigwait({signal.SIGTERM})
    _leave(sessions)


def _hold(order: IO[str], sessions: list[Session]) -> None:
    _launch.wait(order)
    _leave(sessions)


def _leave(sessions: list[Session]) -> NoReturn:
    for session in sessions:
        session.save_now()
    os._exit(0)


def _watch(session: Session) -> None:
    """The end of the input means: the parent has gone, or wants the end.

    A step may take seconds, so the last finished one is saved from here, without waiting.
    """
    while os.read(0, 1):
        pass
    _leave([session])


if __name__ == "__main__":
    main()

"""Several processes open a ledger that is not there yet, in one moment, again and again.

Run as a module with a folder: prints what went wrong. A process of its own, since it forks.
"""

import multiprocessing
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

from jessy_build.engine.ledger import Ledger

ROUNDS = 100
AT_ONCE = 3


def open_one(path: Path, together: Barrier) -> None:
    together.wait()
    Ledger(path).close()


def main() -> int:
    fork = multiprocessing.get_context("fork")
    failed = 0
    for number in range(ROUNDS):
        together = fork.Barrier(AT_ONCE)
        path = Path(sys.argv[1]) / f"{number}" / "ledger.sqlite"
        running = [fork.Process(target=open_one, args=(path, together)) for _ in range(AT_ONCE)]
        for process in running:
            process.start()
        for process in running:
            process.join()
        failed += any(process.exitcode for process in running)
    return failed


if __name__ == "__main__":
    sys.exit(main())

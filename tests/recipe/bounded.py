"""Load the recipe of this folder as a process of its own, and tell what it took, as JSON.

Run as a module, with the folder as the working directory. What takes more memory or time than any
recipe may take is stopped by the kernel.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MAX_BYTES = 2 << 30
"""Of address space, which is more than what is used: thread stacks, mapped libraries."""
MAX_SECONDS = 60
"""Of the processor."""


@dataclass(frozen=True)
class Took:
    problems: tuple[str, ...]
    """As people read them; empty where the recipe loads."""
    seconds: float
    """Of the processor, without starting Python and importing the language."""
    megabytes: int


def load(folder: Path) -> Took:
    run = [sys.executable, "-m", "tests.recipe.bounded"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    # A wall clock of its own: what waits for a pipe uses no processor.
    out = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr[-2000:]
    told = json.loads(out.stdout)
    return Took(tuple(told["problems"]), told["seconds"], told["megabytes"])


def main() -> None:
    from jessy_build.diagnostics import RecipeError, render
    from jessy_build.recipe.load import load, source_lines
    from jessy_build.trainers._result import peak_memory

    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    began = _seconds()
    problems: list[str] = []
    try:
        load(Path("recipe.yaml"))
    except RecipeError as error:
        lines = source_lines()
        problems = [render(problem, lines) for problem in error.diagnostics]
    told = {"problems": problems, "seconds": _seconds() - began, "megabytes": peak_memory() >> 20}
    sys.stdout.write(json.dumps(told))


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

"""How long the commands take that ask neither network nor model. Medians of 11, .pyc in place."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from run import HERE, keep

JESSY = Path(sys.executable).with_name("jessy")
RECIPE = "recipes/quickstart.yaml"


def main() -> None:
    commands = {
        "python_alone": [sys.executable, "-c", "pass"],
        "python_yaml_pydantic": [sys.executable, "-c", "import yaml, pydantic"],
        "version": [JESSY, "--version"],
        "check": [JESSY, "check", RECIPE],
        "schema": [JESSY, "schema"],
    }
    keep("startup", {name: round(_median(words), 3) for name, words in commands.items()})


def _median(words: list[str]) -> float:
    times = []
    for _ in range(12):
        started = time.monotonic()
        subprocess.run(words, cwd=HERE.parent, stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()

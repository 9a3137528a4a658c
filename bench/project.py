"""The quickstart as a project of its own, on a model so small that the whole way takes seconds.

Recipe, rows, prompts and steps are the quickstart's; only its base is another. All is really built.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from run import HERE
from timing import JESSY

REPOSITORY = HERE.parent
RECIPE = "recipes/quickstart.yaml"
MAKE_MODEL = """
import pathlib, sys
from tests.tiny import make_tiny_model
make_tiny_model(pathlib.Path(sys.argv[1]))
"""
FLOOR = "import yaml, pydantic; type('M', (pydantic.BaseModel,), {'__annotations__': {'a': int}})"
"""The least that a program needs which reads YAML into a typed model."""
BASE = re.compile(r"^  model: >-\n(?:    .*\n)+  sha256: .*\n  chat_template: .*\n", re.MULTILINE)


def quickstart(root: Path) -> Path:
    make(root)
    shutil.copytree(REPOSITORY / "prompts", root / "prompts")
    shutil.copytree(
        REPOSITORY / "recipes", root / "recipes", ignore=shutil.ignore_patterns("*.lock.yaml")
    )
    text, count = BASE.subn("  model: path:../base\n", (root / RECIPE).read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{RECIPE} names its base otherwise than this bench expects")
    (root / RECIPE).write_text(text, "utf-8")
    run(root, [JESSY, "build", RECIPE])
    return root


def make(root: Path) -> Path:
    """A project with nothing but a base."""
    root.mkdir(parents=True)
    shutil.copy(REPOSITORY / "jessy_build" / "starter" / "Justfile", root / "Justfile")
    subprocess.run(
        [sys.executable, "-c", MAKE_MODEL, str(root / "base")], cwd=REPOSITORY, check=True
    )
    return root


def run(root: Path, words: Sequence[str], **env: str) -> str:
    """What it printed; the end of everything when it failed."""
    done = subprocess.run(
        words,
        cwd=root,
        env={**os.environ, "OLLAMA_HOST": "127.0.0.1:9", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def steps(root: Path, recipe: str) -> int:
    """How many steps of the recipe are built and cached."""
    lines = run(root, [JESSY, "plan", recipe, "--full"]).splitlines()
    return sum(line.startswith("  cached ") for line in lines)


def built_here() -> bool:
    """Whether the quickstart itself was built in this checkout, and nothing was touched since."""
    done = subprocess.run(
        [JESSY, "plan", RECIPE, "--exit-code"], cwd=REPOSITORY, capture_output=True
    )
    return done.returncode == 0

"""Where a recipe's project and store lie.

Texts instead of `Path`s: a build with nothing to do asks here, and is over before pathlib is
imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

MARKERS = ("Justfile", "justfile", "pyproject.toml", ".git")


def project_of(recipe: str) -> str:
    """The nearest folder above the recipe that looks like a project, else the recipe's own."""
    start = folder = os.path.dirname(os.path.realpath(recipe))
    while not any(os.path.exists(os.path.join(folder, marker)) for marker in MARKERS):
        above = os.path.dirname(folder)
        if above == folder:
            return start
        folder = above
    return folder


def store_of(recipe: str, env: Mapping[str, str]) -> str:
    named = env.get("JESSY_STORE")
    store = os.path.expanduser(named) if named else os.path.join(project_of(recipe), ".jessy")
    return os.path.realpath(store)

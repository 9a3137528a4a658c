"""A recipe as it stood in another git revision, with all that lay around it. Touches no checkout.

git writes the files itself, through an index of its own in a folder of its own; nothing that runs
here may fetch what is not on this machine.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from jessy_build import places
from jessy_build.diagnostics import StepError

ALONE = {
    # No question at the terminal, no blob from a partial clone's server, no large file by LFS.
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}


@contextmanager
def unpacked(revision: str, path: str) -> Iterator[tuple[Path, Path]]:
    """A folder with every file of the revision, and the file in it that `path` names."""
    commit = _commit(revision)
    inside = _inside(commit, revision, path)
    with tempfile.TemporaryDirectory(prefix="jessy-") as made:
        root = Path(made).resolve() / "files"
        root.mkdir()
        index = {"GIT_INDEX_FILE": str(Path(made) / "index")}
        _git("read-tree", commit, env=index)
        _git("checkout-index", "--all", "--quiet", f"--prefix={root}/", env=index)
        if not any((root / marker).exists() for marker in places.MARKERS):
            # Its `.git` made the checkout a project; what is unpacked shall be one, too.
            (root / "pyproject.toml").touch()
        yield root, root / inside


def text(revision: str, path: str) -> str:
    commit = _commit(revision)
    return _git("cat-file", "blob", f"{commit}:{_inside(commit, revision, path)}")


def _commit(revision: str) -> str:
    try:
        return _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
    except StepError as error:
        raise StepError(
            f"git knows no revision '{revision}' here: {error.problem}", hint="see: git log"
        ) from None


def _inside(commit: str, revision: str, path: str) -> str:
    """As git has it, from the top of the repository; else as it stands from where the user is."""
    here = _git("rev-parse", "--show-prefix").strip()
    from_here = os.path.normpath(PurePosixPath(here) / path)
    for candidate in dict.fromkeys((os.path.normpath(path), from_here)):
        if _git("ls-tree", "--full-tree", "--name-only", commit, "--", candidate).strip():
            return candidate
    raise StepError(
        f"there is no {path} in {revision}",
        hint=f"see: git ls-tree -r --name-only {revision}",
    )


def _git(*words: str, env: dict[str, str] | None = None) -> str:
    top = {} if words[0] == "rev-parse" else _top()
    try:
        done = subprocess.run(
            ["git", *words],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ALONE, **(env or {})},
            cwd=top.get("cwd"),
        )
    except FileNotFoundError:
        raise StepError("git is not installed here", hint="install git") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise StepError(said[0].removeprefix("fatal: ") if said else f"git {words[0]} failed")
    return done.stdout.decode("utf-8", "surrogateescape")


def _top() -> dict[str, str]:
    return {"cwd": _git("rev-parse", "--show-toplevel").rstrip("\n")}

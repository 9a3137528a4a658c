"""A model folder from a Hugging Face hub at one commit, proved by the hub's own digests."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import digest
from jessy_build.bases import folder
from jessy_build.diagnostics import MissingPackage, StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched

SHAPE = "hf:org/name"
REVISION_HINT = "take the commit that the hub shows under 'Files and versions'"

_PROGRAM = "jessy_build.bases.hub"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPO = re.compile(rf"{_NAME}/{_NAME}")
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}


def parse(text: str) -> dict[str, str]:
    if not _REPO.fullmatch(text) or "--" in text or ".." in text:
        raise ValueError(f"'{text}' is no model of a hub; {SHAPE} is expected")
    return {"repo": text}


def fetch(order: Fetch) -> Fetched:
    where = f"hf:{order.fields['repo']}"
    if order.settings.offline:
        raise StepError(
            f"{where} is not in the store, and JESSY_OFFLINE forbids to fetch it",
            hint="unset JESSY_OFFLINE for one build; later ones need no network",
        )
    from importlib.util import find_spec

    if find_spec("huggingface_hub") is None:
        raise MissingPackage(
            "huggingface_hub", needed_for=where, install="uv pip install 'jessy-build[mlx]'"
        )
    # Named by the commit and left after a failure: the next try goes on where this one ended.
    scratch = order.work / f".hub-{order.revision}"
    files = _download(scratch, where, order)
    try:
        got = scratch / "files"
        for name, expected in files.items():
            _prove(got / name, expected, where)
        folder.verify(got, where=where)
        shutil.rmtree(got / ".cache", ignore_errors=True)
        for other in [file for file in got.iterdir() if file.name not in files]:
            # Nobody has proved it; it was put there by hand, or by another version of the client.
            shutil.rmtree(other) if other.is_dir() else other.unlink()
        return folder.keep(got, order.out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(scratch: Path, where: str, order: Fetch) -> dict[str, dict[str, Any]]:
    from jessy_build.bases import child

    got, found = scratch / "files", scratch / "found.json"
    got.mkdir(parents=True, exist_ok=True)
    found.unlink(missing_ok=True)
    before = sum(file.stat().st_size for file in got.rglob("*") if file.is_file())

    def report(grown: int) -> None:
        total = _total(found)
        # The client's own notes lie beside the files and are counted, too.
        done = before + grown if total is None else min(before + grown, total)
        order.progress(done, total, f"{where}, downloading")

    repo, revision = order.fields["repo"], str(order.revision)
    ended = child.run(
        # -P: the folder it runs in is the user's, and shall not lend it modules.
        [sys.executable, "-P", "-m", _PROGRAM, repo, revision, str(got), str(found)],
        env={**order.settings.env, **_QUIET, "PYTHONPATH": _package_root(order)},
        log=scratch / "said.log",
        watch=lambda: (got,),
        report=report,
        order=order,
    )
    answer = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    if answer.get("done"):
        return dict(answer["files"])
    raise _explained(answer, ended.said, where, order)


def _package_root(order: Fetch) -> str:
    """The program must find this package where it was never installed, too."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (ours, order.settings.env.get("PYTHONPATH"))))


def _total(found: Path) -> int | None:
    try:
        files = json.loads(found.read_text(encoding="utf-8")).get("files")
    except FileNotFoundError:
        return None
    return sum(file["size"] for file in files.values()) if files else None


def _prove(path: Path, expected: dict[str, Any], where: str) -> None:
    if expected["sha256"]:
        wanted, got = expected["sha256"], digest.of_file(path)
    else:
        wanted, got = expected["git"], _git_digest(path)
    if got != wanted:
        raise StepError(
            f"{path.name} of {where} has the wrong digest: expected {wanted}, got {got}",
            hint="nothing was kept; build again to fetch it once more",
        )


def _git_digest(path: Path) -> str:
    """How git, and so the hub, names a small file."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _explained(answer: dict[str, Any], said: str, where: str, order: Fetch) -> StepError:
    if "problem" in answer:
        return StepError(answer["problem"], hint=answer["hint"])
    kinds, words = set(answer.get("kinds", ())), _last_line(answer.get("words") or said)
    if "GatedRepoError" in kinds:
        return StepError(
            f"{where} asks for a licence to be accepted first",
            hint="accept it on the model's page, and set HF_TOKEN to a token of that account",
        )
    if "RevisionNotFoundError" in kinds:
        return StepError(f"{where} has no commit {order.revision}", hint=REVISION_HINT)
    if "RepositoryNotFoundError" in kinds:
        return StepError(
            f"the hub has no model {order.fields['repo']}, or shows it to some accounts only",
            hint="compare the name in the recipe's base.model; set HF_TOKEN for a private one",
        )
    if kinds & {"ConnectError", "TimeoutException", "ConnectionError", "TransportError"}:
        return StepError(
            f"the model hub cannot be reached, and {where} is needed ({words})",
            hint="check the network and HF_ENDPOINT, then build again; a folder that lies here "
            "already can be named as path:./folder, and pypi: bases need no hub",
        )
    return StepError(f"{where} could not be fetched ({words})", hint="build again to go on")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no word"

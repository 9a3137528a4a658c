"""The program that talks to the hub, in a process of its own: it can be stopped at any moment.

Its arguments are repository, commit, target folder and the file for what it found. Nothing else
of this program reads the environment, which is where huggingface_hub looks for endpoint and token.
"""

import glob
import json
import sys
from pathlib import Path
from typing import Any

from jessy_build.bases import folder
from jessy_build.diagnostics import StepError

ASK_SECONDS = 20.0


def main(repo: str, revision: str, target: str, found: str) -> None:
    """An error is an answer, too, and written down: the parent reads nothing but that file."""
    try:
        listing = _listing(repo, revision)
        names = folder.choose(listing, where=f"hf:{repo}")
        files = {name: listing[name] for name in names}
        _write(Path(found), {"files": files, "done": False})
        _download(repo, revision, names, target)
        _write(Path(found), {"files": files, "done": True})
    except StepError as error:
        _write(Path(found), {"problem": error.problem, "hint": error.hint})
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        _write(Path(found), {"kinds": kinds, "words": str(error)})


def _listing(repo: str, revision: str) -> dict[str, dict[str, Any]]:
    from huggingface_hub import HfApi

    # This call gives up at once where nothing answers; those of the download try for half a minute.
    info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=ASK_SECONDS)
    return {
        file.rfilename: {
            "size": file.size,
            "git": file.blob_id,
            "sha256": file.lfs.sha256 if file.lfs else None,
        }
        for file in info.siblings or ()
    }


def _download(repo: str, revision: str, names: tuple[str, ...], target: str) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        repo,
        revision=revision,
        local_dir=target,
        allow_patterns=[glob.escape(name) for name in names],
    )


def _write(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    main(*sys.argv[1:])

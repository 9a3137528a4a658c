"""doctor: what this machine has, what it lacks, and the line that installs it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jessy_build import settings as machine
from jessy_build import units
from jessy_build.steps import here

INSTALL_MLX = "uv pip install 'jessy-build[mlx]'"


@dataclass(frozen=True)
class Finding:
    part: str
    ok: bool
    found: str
    hint: str = ""
    needed: bool = False
    """Without it the tool does not work at all; the rest only limits what can be done."""


def findings(env: Mapping[str, str]) -> list[Finding]:
    settings = machine.load(Path("recipe.yaml"), env)
    return [
        _python(),
        _memory(),
        _disk(settings.store),
        _mlx(),
        _blas(),
        _package("gguf", "GGUF files", INSTALL_MLX),
        _package("llguidance", "a teacher of kind mlx", INSTALL_MLX),
        _package("xllamacpp", "llama.cpp: evaluate and chat without Ollama", INSTALL_MLX),
        _fetcher(),
        _ollama(settings.ollama_host),
        _key(env, "ANTHROPIC_API_KEY", "anthropic"),
        _key(env, "OPENAI_API_KEY", "openai"),
        _store(settings.store),
        *_shared_store(settings.shared_store),
    ]


def document(found: Sequence[Finding]) -> dict[str, Any]:
    return {"format": 1, "findings": [asdict(finding) for finding in found]}


def lines(found: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.part) for finding in found) + 2
    for finding in found:
        sign = "✓" if finding.ok else ("✗" if finding.needed else "–")
        yield f"{sign} {finding.part:{width}} {finding.found}"
        if finding.hint and not finding.ok:
            yield f"  {'':{width}} {finding.hint}"


def _python() -> Finding:
    version = platform.python_version()
    return Finding("python", sys.version_info >= (3, 11), version, "3.11 or newer", needed=True)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("memory", True, f"{units.size(total)}, {os.cpu_count()} cores")


def _disk(store: Path) -> Finding:
    at = next(folder for folder in (store, *store.parents) if folder.exists())
    free = shutil.disk_usage(at).free
    hint = "the quickstart wants 4 GB; JESSY_STORE moves the store elsewhere"
    return Finding("disk", free > 4e9, f"{units.size(free)} free", hint)


def _store(store: Path) -> Finding:
    at = next(folder for folder in (store, *store.parents) if folder.exists())
    if at.is_dir() and os.access(at, os.W_OK):
        return Finding("store", True, str(store))
    hint = "nothing can be built there: set JESSY_STORE to a folder you may write to"
    return Finding("store", False, f"{store} cannot be written", hint, needed=True)


def _mlx() -> Finding:
    if importlib.util.find_spec("mlx") is None:
        hint = f"training needs it: {INSTALL_MLX} (Apple silicon or Linux)"
        return Finding("mlx", False, "not installed: check, plan, generate and diff work", hint)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mlx", "mlx-lm"))
    from jessy_build import mlx_model

    try:
        import mlx.core  # noqa: F401
    except ImportError as problem:
        wrong = mlx_model.missing(problem, "training")
        return Finding("mlx", False, f"{versions}: {wrong.problem}", wrong.hint)
    return Finding("mlx", True, f"{versions}, on {here.device()}")


def _blas() -> Finding:
    if importlib.util.find_spec("mlx") is None:
        return Finding("blas", False, "unknown without mlx")
    if here.device() == "cuda":
        return Finding("blas", True, "not needed: the GPU multiplies")
    from jessy_build import blas

    used = blas.install()
    hint = "the reference BLAS is some 60 times slower: uv pip install scipy-openblas32"
    return Finding("blas", used.fast, f"{used.name}, {blas.probe():.0f} GFLOP/s", hint)


def _package(name: str, use: str, install: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(name, False, f"not installed ({use})", install)
    return Finding(name, True, importlib.metadata.version(name))


def _fetcher() -> Finding:
    if shutil.which("uv") or importlib.util.find_spec("uv"):
        return Finding("fetcher", True, "uv")
    if importlib.util.find_spec("pip"):
        return Finding("fetcher", True, "pip")
    return Finding("fetcher", False, "neither uv nor pip", "pypi: bases need one: pip install uv")


def _ollama(host: str) -> Finding:
    from jessy_build.packaging import glance

    version = glance.version(host)
    if version is None:
        hint = "builds end in a folder then; with Ollama running they are deployed"
        return Finding("ollama", False, f"no answer at {host}", hint)
    return Finding("ollama", True, f"{version} at {host}")


def _shared_store(address: str) -> Iterator[Finding]:
    """Only one that the environment names: doctor reads no recipe."""
    if not address:
        return
    from jessy_build.diagnostics import StepError
    from jessy_build.engine import depot

    name = "shared store"
    try:
        found = depot.at(address, Path.cwd())
        found.names("v1/answers")
    except StepError as error:
        yield Finding(name, False, error.problem, error.hint)
    except depot.Refused as refused:
        yield Finding(name, False, f"{found.name}: {refused}", "builds do without it")
    else:
        yield Finding(name, True, found.name)


def _key(env: Mapping[str, str], name: str, kind: str) -> Finding:
    # Only whether there is one; never a letter of it.
    found = "set" if env.get(name) else "not set"
    return Finding(name, bool(env.get(name)), found, f"only for recipes with an {kind} teacher")

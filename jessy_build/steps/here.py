"""What machine a step ran on: facts for the report, never part of a key."""

import os
import sys
from pathlib import Path
from typing import Any, Literal

from jessy_build.settings import Settings

PACKAGES = ("mlx", "mlx-lm", "gguf", "xllamacpp")
CUDA = "mlx_cuda_*.dist-info"
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may take, where this runs in one."""

Device = Literal["cpu", "metal", "cuda"]


def describe() -> dict[str, Any]:
    import platform

    return {
        "cpu": cpu(),
        "memory": installed(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def cpu() -> str:
    """The processor and its cores: what makes two machines alike in speed."""
    return f"{_cpu()} ({os.cpu_count()} cores)"


def cores() -> int:
    """That a training shares its rows out to."""
    from jessy_build.trainers import _members

    return _members.size()


def installed() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory(settings: Settings) -> int | None:
    """Bytes that a training can have; None where a card has its own, which nobody asked yet."""
    if settings.memory is not None:
        return settings.memory
    if device() == "cuda":
        return None
    limit = LIMIT.read_text().strip() if LIMIT.is_file() else ""
    return min(installed(), int(limit)) if limit.isdecimal() else installed()


def device() -> Device:
    """What MLX will train on here. It is not imported for the answer."""
    if sys.platform == "darwin":
        return "metal" if os.uname().machine == "arm64" else "cpu"
    # What is installed, without the time that `importlib.metadata` takes.
    found = any(next(Path(folder or ".").glob(CUDA), None) for folder in sys.path)
    return "cuda" if found else "cpu"


def _versions() -> dict[str, str]:
    import importlib.metadata

    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    import platform

    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

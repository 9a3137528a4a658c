"""What machine a step ran on: facts for the report, never part of a key."""

import os
from pathlib import Path
from typing import Any

PACKAGES = ("mlx", "mlx-lm", "gguf", "xllamacpp")


def describe() -> dict[str, Any]:
    import platform

    return {
        "cpu": f"{_cpu()} ({os.cpu_count()} cores)",
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "versions": {"python": platform.python_version(), **_versions()},
    }


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

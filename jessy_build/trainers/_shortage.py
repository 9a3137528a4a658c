"""Signs that a process died for want of memory, where its own last words do not say so."""

import resource
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
PROMISES = Path("/proc/sys/vm/overcommit_memory")
NO_MORE_THAN_THERE_IS = "2"


def kills(root: Path = ROOT) -> int | None:
    """Processes that the kernel has killed for it so far: of the control group that this process
    and its children share, or else of the whole machine. None where nobody counts, as on macOS."""
    for file in (*_of_my_group(root), root / "proc/vmstat"):
        counters = dict(line.split(maxsplit=1) for line in _read(file).splitlines())
        if "oom_kill" in counters:
            return int(counters["oom_kill"])
    return None


def _of_my_group(root: Path) -> Iterator[Path]:
    """Where its group counts, or the nearest one above it that is to be seen from here."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _upwards(groups, path, "memory.events")
        elif "memory" in controllers.split(","):
            yield from _upwards(groups / "memory", path, "memory.oom_control")


def _upwards(root: Path, path: str, name: str) -> Iterator[Path]:
    group = root / path.lstrip("/")
    yield from (one / name for one in (group, *group.parents) if one.is_relative_to(root))


def is_refused() -> bool:
    """Whether a process gets none at some point: by `ulimit`, or by a kernel that promises no more
    than it has. MLX does not look at what it gets on a CPU, and then ends by SIGSEGV."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limited = any(limit != resource.RLIM_INFINITY for limit in limits)
    return limited or _read(PROMISES).strip() == NO_MORE_THAN_THERE_IS


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError:
        return ""

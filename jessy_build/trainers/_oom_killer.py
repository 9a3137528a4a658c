"""Whether the kernel has killed for want of memory: SIGKILL alone may come from a person, too."""

from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")
WHOLE_MACHINE = Path("/proc/vmstat")
COUNTER = "oom_kill"


def kills() -> int | None:
    """So far, in the control group that this process and its children share, or else on the whole
    machine. None where nobody counts them, as on macOS."""
    for file in (*_of_my_group(), WHOLE_MACHINE):
        try:
            counters = dict(line.split() for line in file.read_text("utf-8").splitlines())
            return int(counters[COUNTER])
        except (OSError, KeyError, ValueError):
            continue
    return None


def _of_my_group() -> list[Path]:
    """The nearest group that counts, of those that it lies in (cgroup v2)."""
    try:
        lines = MINE.read_text("utf-8").splitlines()
    except OSError:
        return []
    group = next((line[3:] for line in lines if line.startswith("0::")), "/")
    inner = GROUPS / group.lstrip("/")
    return [one / "memory.events" for one in (inner, *inner.parents) if one.is_relative_to(GROUPS)]

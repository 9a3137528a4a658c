"""How many cores share a batch. Apart from `_team`: a plan asks, and no plan needs threads."""

import os

MOST = 8


def size(teams: int = 1) -> int:
    """Members that this machine has cores for, where so many teams share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min((cores or 1) // teams, MOST))

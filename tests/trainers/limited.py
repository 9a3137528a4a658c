"""A real training child that runs out of memory where a test says so, by Python's own hook."""

from pathlib import Path

HOOK = """\
import os, sys
if "jessy_build.trainers._child" in sys.orig_argv:
    from jessy_build.trainers import _batches, _model
    as_arrays, seen = _batches.as_arrays, []

    def limited(parts):
        if sum(len(part.inputs) for part in parts) > {rows}:
            seen.append(1)
            if len(seen) > {spared}:
                die()
        return as_arrays(parts)

    def die(*_):
{die}

    _batches.as_arrays = limited
"""
PYTHON = "        raise MemoryError('Unable to allocate 3.2 GiB')"
METAL = """\
        os.write(2, b"libc++abi: terminating due to uncaught exception of type std::runtime_error: "
            b"[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPU)\\n"
            b"Fatal Python error: Aborted\\n\\nThread 0x1 (most recent call first):\\n")
        os.abort()"""
LOADING = PYTHON + "\n    _model.learner = die"


def limit(folder: Path, rows: int, spared: int = 0, die: str = PYTHON) -> None:
    """For a child with this folder in PYTHONPATH: a batch of more rows ends it, once some were
    spared."""
    hook = HOOK.format(rows=rows, spared=spared, die=die)
    (folder / "sitecustomize.py").write_text(hook, encoding="utf-8")

"""What a finished training leaves behind: two files that depend on nothing but their content."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

WEIGHTS = "adapters.safetensors"
CONFIG = "adapter_config.json"


def write(out: Path, adapter: dict[str, Any], config: dict[str, Any]) -> None:
    import numpy as np
    from safetensors.numpy import save

    out.mkdir(parents=True, exist_ok=True)
    plain = {name: np.array(adapter[name]) for name in sorted(adapter)}
    _replace(out / WEIGHTS, save(plain, metadata={"format": "mlx"}))
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    _replace(out / CONFIG, text.encode())


def _replace(file: Path, content: bytes) -> None:
    half_made = file.with_name(f"half-made.{file.name}")
    half_made.write_bytes(content)
    half_made.replace(file)


def peak_memory() -> int:
    """Bytes of this process at its largest.

    On Linux `ru_maxrss` begins with what the process held that started this one, since the kernel
    keeps it across execve; `VmHWM` begins anew.
    """
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def memory() -> int:
    """Bytes that this process holds now; on a GPU, what MLX holds there."""
    import mlx.core as mx
    import psutil

    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    return int(psutil.Process().memory_info().rss if on_cpu else mx.get_active_memory())

"""`just bench [NAME ...]`: run the measurements, print them, keep them under bench/results/."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHES = (
    "startup",
    "noop",
    "plan",
    "engine",
    "asking",
    "validate",
    "quickstart",
    "training",
    "lora",
    "export",
    "install",
)


def main() -> int:
    names = sys.argv[1:] or BENCHES
    if unknown := set(names) - set(BENCHES):
        print(f"no bench named {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
        return 2
    # Where .pyc files are not written, start-up takes twice as long as users see.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    worst = 0
    for name in names:
        print(f"== {name}", flush=True)
        worst |= subprocess.run([sys.executable, HERE / f"{name}.py"], env=env).returncode
    return worst


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def keep(name: str, figures: dict[str, object]) -> None:
    """Print the figures and write them to bench/results/<name>.json."""
    for key, value in figures.items():
        if not (isinstance(value, dict) and any(isinstance(v, dict) for v in value.values())):
            print(f"  {key:36} {value}")
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **figures}, indent=2, ensure_ascii=False)
    (HERE / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""How long the quickstart takes after the download, what memory it peaks at, and a second build."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from run import HERE, keep

PROJECT = HERE.parent
JESSY = Path(sys.executable).with_name("jessy")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        root = Path(folder)
        for part in ("recipes", "prompts", "pyproject.toml"):
            source = PROJECT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, root / part)
        env = {**os.environ, "JESSY_STORE": str(root / ".jessy"), "OLLAMA_HOST": "127.0.0.1:9"}
        run = Runner(root, env)
        fetch = run("build", "recipes/quickstart.yaml", "--until", "fetch").seconds
        build = run("build", "recipes/quickstart.yaml", "--json")
        again = [run("build", "recipes/quickstart.yaml").seconds for _ in range(7)]
        plan = [run("plan", "recipes/quickstart.yaml").seconds for _ in range(7)]
        steps = {
            event["step"]: event["seconds"]
            for event in map(json.loads, build.output.splitlines())
            if event.get("event") == "step_finished"
        }
        keep(
            "quickstart",
            {
                "fetch_seconds": round(fetch, 1),
                "build_seconds_after_fetch": round(build.seconds, 1),
                "peak_memory_gb": round(build.peak / 1e9, 2),
                "second_build_seconds_median": round(statistics.median(again), 3),
                "plan_seconds_median": round(statistics.median(plan), 3),
                "store_gb": round(_size(root / ".jessy") / 1e9, 2),
                "steps_seconds": steps,
            },
        )


class Ran:
    def __init__(self, seconds: float, peak: int, output: str) -> None:
        self.seconds, self.peak, self.output = seconds, peak, output


class Runner:
    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def __call__(self, *words: str) -> Ran:
        started = time.monotonic()
        process = subprocess.Popen(
            [JESSY, *words], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        peak = Peak(process.pid) if words[0] == "build" and "--json" in words else None
        output, _ = process.communicate()
        seconds = time.monotonic() - started
        if process.returncode:
            raise SystemExit(f"jessy {' '.join(words)} ended with {process.returncode}\n{output}")
        return Ran(seconds, peak.stop() if peak else 0, output)


class Peak:
    """The largest sum of resident memory over a process and all below it, twice a second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.bytes, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self) -> int:
        self.ended.set()
        self.thread.join()
        return self.bytes

    def _watch(self) -> None:
        while not self.ended.wait(0.5):
            table = subprocess.run(
                ["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=False
            ).stdout
            rows = [tuple(map(int, line.split())) for line in table.splitlines()]
            family = {self.pid}
            for _ in range(4):
                family |= {pid for pid, parent, _ in rows if parent in family}
            total = 1024 * sum(rss for pid, _, rss in rows if pid in family)
            self.bytes = max(self.bytes, total)


def _size(folder: Path) -> int:
    """Bytes on disk, hard links counted once."""
    seen = {(s.st_dev, s.st_ino): s.st_size for s in (p.stat() for p in folder.rglob("*"))}
    return sum(seen.values())


if __name__ == "__main__":
    main()

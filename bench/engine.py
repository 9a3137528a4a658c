"""What the engine itself costs a cold item: asked, answered, synced to the disk, written out.

The teacher answers at once and in this process (`zero`), so there is no latency to subtract. Over
HTTP on loopback the same client asks without an engine, in the same run, and the rest is compared.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import items
import project
import tools
from run import HERE, keep
from timing import JESSY, table

AT_MOST_MS = 1.0
SIZES = (1_000, 10_000)
RUNS = 5
OVER_HTTP = 1_000
STEP = "generate:talk"
SERVER = """
import sys
from tests.loopback.ollama_api import OllamaServer
with OllamaServer() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
DOIT = """\
def write(name):
    with open(name, "w") as file:
        file.write(name)

def task_write():
    for n in range(1000):
        yield {"name": str(n), "actions": [(write, [f"out{n}"])], "targets": [f"out{n}"]}
"""


def main() -> int:
    if len(sys.argv) == 2:
        print(_bare(sys.argv[1]))
        return 0
    ours: dict[int, list[float]] = {rows: [] for rows in SIZES}
    others: dict[str, list[float]] = {"one_fsync_an_answer": [], "doit_1000_tasks": []}
    http: dict[str, list[float]] = {"engine": [], "bare_client": []}
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        root = Path(folder)
        for number in range(RUNS):
            for rows in SIZES:
                ours[rows].append(_engine(root / f"zero-{rows}-{number}", rows))
            others["one_fsync_an_answer"].append(_synced_one_by_one(root / f"log-{number}"))
            others["doit_1000_tasks"].append(_doit(root / f"doit-{number}"))
            with _server() as url:
                bare = project.run(root, [sys.executable, __file__, url])
                http["bare_client"].append(float(bare))
                http["engine"].append(_engine(root / f"http-{number}", OVER_HTTP, url))
    milliseconds = {
        **{f"engine_{rows}_items": found for rows, found in ours.items()},
        **others,
        **{f"http_{name}": found for name, found in http.items()},
    }
    medians = {name: round(statistics.median(found), 3) for name, found in milliseconds.items()}
    largest = medians[f"engine_{max(SIZES)}_items"]
    rows = [
        (name, f"{medians[name]:.3f}", f"{min(found):.3f}", f"{medians[name] / largest:.2f}")
        for name, found in milliseconds.items()
    ]
    table(rows, ("a cold item", "median ms", "least ms", "× engine"))
    keep(
        "engine",
        {
            "teacher": "answers at once, in the process: the whole time is the engine's",
            "milliseconds_an_item_median": medians,
            "milliseconds_an_item_least": {n: round(min(f), 3) for n, f in milliseconds.items()},
            "over_http_engine_less_bare_client": round(
                medians["http_engine"] - medians["http_bare_client"], 3
            ),
            "doit_version": tools.version("doit"),
        },
    )
    missed = [name for rows in SIZES if medians[name := f"engine_{rows}_items"] > AT_MOST_MS]
    if missed:
        print(f"  more than {AT_MOST_MS} ms an item: {', '.join(missed)}")
    return int(bool(missed))


def _engine(root: Path, rows: int, url: str = "") -> float:
    """Milliseconds an item, out of the step's own time: every prompt another, nothing answered."""
    items.asked(root, rows, numbered=True)
    program = [JESSY] if url else [sys.executable, str(HERE / "zero.py")]
    said = project.run(
        root, [*program, "build", "recipe.yaml", "--until", STEP, "--json"], **_host(url)
    )
    for event in map(json.loads, said.splitlines()):
        if (event["event"], event.get("step")) == ("step_finished", STEP):
            return 1000 * float(event["seconds"]) / rows
    raise SystemExit(f"{STEP} did not run:\n{said}")


def _host(url: str) -> dict[str, str]:
    return {"OLLAMA_HOST": url} if url else {}


def _synced_one_by_one(log: Path, rows: int = OVER_HTTP) -> float:
    """The same answers appended to a file, each on the disk before the next: no engine at all."""
    line = json.dumps({"stem": "0" * 64, "reply": {"text": "x" * 200, "stop": "end"}}) + "\n"
    began = time.perf_counter()
    with log.open("w") as file:
        for _ in range(rows):
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    return 1000 * (time.perf_counter() - began) / rows


def _doit(folder: Path) -> float:
    """A build tool in which each item is a task of its own, run in its process."""
    folder.mkdir()
    (folder / "dodo.py").write_text(DOIT)
    began = time.perf_counter()
    project.run(folder, [str(tools.installed("doit") / "bin" / "doit")])
    return time.perf_counter() - began


@contextmanager
def _server() -> Iterator[str]:
    """Ollama's API on loopback, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=project.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def _bare(url: str) -> float:
    """The same client, loading included, asks as many questions, as many at once, and keeps
    nothing."""
    began = time.perf_counter()
    from jessy_build import settings
    from jessy_build.teachers import ollama

    config = ollama.Config(kind="ollama", model="gemma3:4b", concurrency=16, host=url)
    requests = [
        ollama.request(config, prompt=f"Write one exchange, number {number}.")
        for number in range(OVER_HTTP)
    ]
    teacher = ollama.open(config, settings.load(Path("recipe.yaml"), {}))

    async def work(queue: Iterator[ollama.Request]) -> None:
        for request in queue:
            await teacher.ask(request)

    async def everything(asked: Sequence[ollama.Request]) -> None:
        queue = iter(asked)
        await asyncio.gather(*(work(queue) for _ in range(config.concurrency)))
        await teacher.close()

    asyncio.run(everything(requests))
    return 1000 * (time.perf_counter() - began) / OVER_HTTP


if __name__ == "__main__":
    sys.exit(main())

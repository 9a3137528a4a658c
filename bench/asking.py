"""How near a build comes to what the bare SDK reaches: 64 questions in flight, 200 ms each.

The server on loopback answers everything after that time, in a process of its own, and says how
long it took from the first question to the last answer: start-up and writing out are not in it.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import project
from run import keep
from timing import JESSY, table

LATENCY = 0.2
AT_ONCE = 64
ROWS = 2_000
RUNS = 5
AT_LEAST = 0.95
IDEAL = AT_ONCE / LATENCY
RECIPE = f"""\
recipe: 1
name: asking
version: v1
base: {{model: "path:base"}}
teachers:
  claude: {{kind: anthropic, model: claude-haiku-5-5, concurrency: {AT_ONCE},
           prices: {{input: 1, output: 5, as_of: 2026-11-01}}}}
categories:
  talk:
    {{teacher: claude, count: {ROWS}, prompt: ask.j2, languages: {{en: 1}}, complexity: {{low: 1}}}}
train: {{steps: 1}}
"""
ANSWER = json.dumps(
    {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": '{"user": "a question", "assistant": "an answer"}'}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def main() -> int:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(_serve())
        return 0
    if sys.argv[1:2] == ["bare"]:
        asyncio.run(_bare(sys.argv[2]))
        return 0
    rates: dict[str, list[float]] = {"bare SDK": [], "jessy build": []}
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        for number in range(RUNS):
            with _server() as (url, seconds):
                project.run(Path(folder), [sys.executable, __file__, "bare", url])
                rates["bare SDK"].append(ROWS / seconds())
            with _server() as (url, seconds):
                _build(Path(folder) / str(number), url)
                rates["jessy build"].append(ROWS / seconds())
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["jessy build"] / medians["bare SDK"]
    rows = [
        (name, f"{medians[name]:.0f}", f"{max(found):.0f}", f"{medians[name] / IDEAL:.0%}")
        for name, found in rates.items()
    ]
    table(rows, ("64 in flight, 200 ms", "median/s", "best/s", f"of {IDEAL:.0f}/s"))
    keep(
        "asking",
        {
            "requests_a_second_median": {n: round(rate, 1) for n, rate in medians.items()},
            "requests_a_second_best": {n: round(max(f), 1) for n, f in rates.items()},
            "build_to_bare_sdk": round(ratio, 3),
            "build_to_ideal": round(medians["jessy build"] / IDEAL, 3),
        },
    )
    if ratio < AT_LEAST:
        print(f"  less than {AT_LEAST:.0%} of what the bare SDK reaches: {ratio:.1%}")
    return int(ratio < AT_LEAST)


def _build(root: Path, url: str) -> None:
    (root / "base").mkdir(parents=True)
    (root / "Justfile").touch()
    (root / "recipe.yaml").write_text(RECIPE)
    (root / "ask.j2").write_text("Write one exchange, number {{ ordinal }}.")
    words = [JESSY, "build", "recipe.yaml", "--until", "generate:talk", "--json"]
    project.run(root, words, ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="sk-ant-bench-0123456789")


@contextmanager
def _server() -> Iterator[tuple[str, Callable[[], float]]]:
    """Its address, and how long it was asked."""
    process = subprocess.Popen(
        [sys.executable, __file__, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    told = process.stdout

    def seconds() -> float:
        assert process.stdin
        process.stdin.close()
        asked, took = told.readline().split()
        if int(asked) != ROWS:
            raise SystemExit(f"{asked} questions came instead of {ROWS}")
        return float(took)

    try:
        yield told.readline().strip(), seconds
    finally:
        process.stdin.close()
        process.wait()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                count += 1
                times.append(loop.time())
                await asyncio.sleep(LATENCY)
                writer.write(HEAD % len(ANSWER) + ANSWER)
                await writer.drain()
                times.append(loop.time())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(count, max(times, default=0.0) - min(times, default=0.0), flush=True)
    server.close()


async def _bare(url: str) -> None:
    """The SDK alone: as many tasks as questions may be in flight, and nothing is kept."""
    import anthropic

    client = anthropic.AsyncAnthropic(api_key="sk-ant-bench", base_url=url, max_retries=0)
    queue = iter(range(ROWS))

    async def work() -> None:
        for number in queue:
            await client.messages.create(
                model="claude-haiku-5-5",
                max_tokens=1024,
                messages=[{"role": "user", "content": f"Write one exchange, number {number}."}],
                thinking={"type": "disabled"},
            )

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await client.close()


if __name__ == "__main__":
    sys.exit(main())

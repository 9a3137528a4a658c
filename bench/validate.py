"""What it costs to validate, deduplicate and split rows like those of a persona.

Each size runs in a process of its own, from a file of rows to the files of training and validation
rows, through the steps' own code, so that time and memory are those of a build.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import talk
from run import HERE, keep
from timing import table

from jessy_build import validators
from jessy_build.example import read_jsonl, write_jsonl
from jessy_build.steps import assemble

SIZES = (17_000, 50_000, 170_000)
RULES = {
    **dict.fromkeys(("words", "duplicates", "roles", "complexity", "language"), True),
    "min_chars": 2,
    "forbid": ["as an AI language model", "yapay zeka dil model*"],
}
WORDS = {"low": (1, 200), "medium": (1, 200), "high": (1, 200)}
AT_MOST_SECONDS = 8.0


def main() -> int:
    if len(sys.argv) == 3:
        print(json.dumps(_one(Path(sys.argv[1]), float(sys.argv[2]))))
        return 0
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        for rows in SIZES:
            file = Path(folder) / f"{rows}.jsonl"
            write_jsonl(file, talk.rows(rows))
            for near in (0.0, 0.85):
                name = f"{rows} rows" + (", near_duplicate" if near else "")
                figures[name] = _in_a_process(file, near)
                figures[name]["ms_a_row"] = round(1000 * figures[name]["cpu_seconds"] / rows, 3)
    table(
        [(name, *(str(value) for value in found.values())) for name, found in figures.items()],
        ("rows", *next(iter(figures.values()))),
    )
    keep("validate", {"at_most_seconds": AT_MOST_SECONDS, "figures": figures})
    # All of it is computing: on a busy machine the clock would measure the others.
    return int(figures[f"{SIZES[0]} rows, near_duplicate"]["cpu_seconds"] > AT_MOST_SECONDS)


def _in_a_process(file: Path, near: float) -> dict[str, float]:
    words = [sys.executable, str(HERE / "validate.py"), str(file), str(near)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def _one(file: Path, near: float) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    examples = list(read_jsonl(file))
    held = _peak_mb()
    rules = {**RULES, "near_duplicate": near or None}
    findings = validators.check(examples, rules, WORDS, prompts=("sana bisi sorucam", "hey there"))
    bad = {(f.example_id, f.where) for f in findings if f.severity == "error"}
    kept = [row for row in examples if (row.id, row.origin.source) not in bad]
    held_out = assemble.valid_ids(kept, 42, 0.1)
    write_jsonl(file.with_suffix(".train"), (row for row in kept if row.id not in held_out))
    write_jsonl(file.with_suffix(".valid"), (row for row in kept if row.id in held_out))
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "rejected": len(examples) - len(kept),
        "peak_mb": _peak_mb(),
        "of_it_the_rows": held,
    }


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())

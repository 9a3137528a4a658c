"""A plan of the quickstart, and plans and no-op builds of recipes with very many items.

Every project is really built beforehand. The many answers come from a teacher that answers at once
(`zero`), through the engine like any other: to ask 170,000 times over HTTP would take the day.
"""

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import items
import project
import tools
from run import keep
from timing import JESSY, Command, Taken, figures, in_turn, show

QUICKSTART_AT_MOST = 0.20
SIZES = (1_000, 10_000, 50_000, 170_000)
ITEMS_AT_MOST = {10_000: (0.5, None), 170_000: (2.0, 400)}
"""Items → seconds, MB."""
KINDS: Mapping[str, Callable[[Path, int], Path]] = {
    "asked": items.asked,
    "asked_each_its_own_prompt": lambda root, rows: items.asked(root, rows, numbered=True),
    "curated": items.curated,
}
UNTIL = ("--until", "assemble")


def main() -> int:
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        small = _quickstart(Path(folder))
        many = {
            kind: {rows: _many(Path(folder) / f"{kind}-{rows}", make, rows) for rows in sizes}
            for kind, make in KINDS.items()
        }
    late = [*_late(small), *_too_much(many)]
    keep("plan", {**_small_figures(small), **_many_figures(many), "missed": late})
    return int(bool(late))


def _quickstart(folder: Path) -> dict[str, Taken]:
    root = project.quickstart(folder / "quickstart")
    edited = folder / "edited"
    shutil.copytree(root, edited, copy_function=shutil.copy2, symlinks=True)
    recipe = edited / project.RECIPE
    recipe.write_text(recipe.read_text("utf-8").replace("rank: 16", "rank: 8"), "utf-8")
    plan = [JESSY, "plan", project.RECIPE]

    def build() -> None:
        project.run(root, [JESSY, "build", project.RECIPE])

    commands = {
        "python_yaml_pydantic": Command([sys.executable, "-c", project.FLOOR], root),
        # Built anew each time, should somebody be editing the program meanwhile.
        "untouched": Command(plan, root, before=build, said="Nothing to do"),
        "full_road_nothing_changed": Command([*plan, "--full"], root, said="Nothing to do"),
        "set_rank": Command([*plan, "--set", "train.lora.rank=8"], root, said="lora.rank"),
        "edited_rank": Command(plan, edited, said="lora.rank"),
    }
    if project.built_here():
        here = project.REPOSITORY
        commands["trained_untouched"] = Command(plan, here, said="Nothing to do")
        commands["trained_set_rank"] = replace(commands["set_rank"], folder=here)
    dvc = tools.noop_of("dvc", folder / "dvc")
    snakemake = tools.noop_of("snakemake", folder / "snakemake")
    commands["dvc"] = replace(dvc, words=[*dvc.words, "--dry"])
    commands["snakemake"] = replace(snakemake, words=[*snakemake.words, "-n"])
    taken = in_turn(commands)
    show("plan of the quickstart", taken, "dvc")
    return taken


def _many(root: Path, make: Callable[[Path, int], Path], rows: int) -> dict[str, Taken]:
    make(root, rows)
    items.build(root, *UNTIL)
    recipe = root / "recipe.yaml"

    def touch() -> None:
        os.utime(recipe)

    plan = [JESSY, "plan", "recipe.yaml"]
    taken = in_turn(
        {
            "plan": Command(plan, root, before=touch, said="cached"),
            "plan_with_an_edit": Command([*plan, "--set", "dataset.seed=7"], root, said="seed"),
            "noop": Command([JESSY, "build", "recipe.yaml", *UNTIL], root, said="Nothing to do"),
        },
        runs=11 if rows <= 10_000 else 5,
    )
    items.edit(root)
    after = {"plan_with_its_text_edited": Command(plan, root, said="generate:")}
    taken |= in_turn(after, runs=3)
    cells = [f"{t.median:.2f} s, {t.peak_mb:.0f} MB" for t in taken.values()]
    print(f"  {root.name:34} " + "   ".join(f"{n} {c}" for n, c in zip(taken, cells, strict=True)))
    shutil.rmtree(root)
    return taken


def _late(small: Mapping[str, Taken]) -> list[str]:
    return [
        f"{name}: {small[name].median} s, {QUICKSTART_AT_MOST} at most"
        for name in ("set_rank", "edited_rank", "full_road_nothing_changed")
        if small[name].median > QUICKSTART_AT_MOST
    ]


def _too_much(many: Mapping[str, Mapping[int, Mapping[str, Taken]]]) -> list[str]:
    found = []
    for kind, by_rows in many.items():
        for rows, (seconds, megabytes) in ITEMS_AT_MOST.items():
            for name in ("plan", "plan_with_an_edit", "noop"):
                if rows not in by_rows:
                    continue
                taken = by_rows[rows][name]
                if taken.median > seconds:
                    found.append(f"{kind} {rows} {name}: {taken.median} s, {seconds} at most")
                if megabytes and taken.peak_mb > megabytes:
                    found.append(f"{kind} {rows} {name}: {taken.peak_mb} MB, {megabytes} at most")
    return found


def _small_figures(small: Mapping[str, Taken]) -> dict[str, Any]:
    return {
        "quickstart": "its recipe and rows on a tiny base, really built",
        "quickstart_seconds": figures(small),
    }


def _many_figures(many: Mapping[str, Mapping[int, Mapping[str, Taken]]]) -> dict[str, Any]:
    return {
        kind: {rows: figures(taken) for rows, taken in by_rows.items()}
        | {"microseconds_per_item_more": _slopes(by_rows)}
        for kind, by_rows in many.items()
    }


def _slopes(by_rows: Mapping[int, Mapping[str, Taken]]) -> list[float]:
    """Between one size and the next; alike when the time grows in a straight line."""
    points = [(rows, taken["plan"].median) for rows, taken in by_rows.items()]
    return [
        round(1e6 * (later - sooner) / (more - fewer), 1)
        for (fewer, sooner), (more, later) in itertools.pairwise(points)
    ]


if __name__ == "__main__":
    sys.exit(main())

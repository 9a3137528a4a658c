"""A build with nothing to do, beside the same of doit, DVC and Snakemake with six tasks each."""

import os
import sys
import tempfile
from pathlib import Path

import project
import tools
from run import keep
from timing import JESSY, Command, figures, in_turn, show

AT_MOST = 1.0
"""Times doit's."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        root = project.quickstart(Path(folder) / "quickstart")
        steps = project.steps(root, project.RECIPE)
        recipe = root / project.RECIPE
        build = [JESSY, "build", project.RECIPE]
        commands = {
            "python": Command([sys.executable, "-c", "pass"], root),
            "jessy": Command(build, root, said="Nothing to do"),
            "jessy_after_a_touch": Command(
                build, root, before=lambda: os.utime(recipe), said=f"{steps} steps cached"
            ),
        }
        if project.built_here():
            here = project.REPOSITORY
            commands["jessy_trained_quickstart"] = Command(build, here, said="Nothing to do")
        for name in tools.TOOLS:
            commands[name] = tools.noop_of(name, Path(folder) / name)
        # The touch comes last in each round: the next round finds everything noted again.
        commands["jessy_after_a_touch"] = commands.pop("jessy_after_a_touch")
        taken = in_turn(commands)
    show("nothing to do", taken, "doit")
    doit = taken["doit"].median
    ratio = taken["jessy"].median / doit
    keep(
        "noop",
        {
            "project": f"the quickstart on a tiny base, really built: {steps} steps",
            "others": f"{tools.TASKS} file-to-file tasks each",
            "versions": {name: tools.version(name) for name in tools.TOOLS},
            "trained_quickstart_measured": "jessy_trained_quickstart" in taken,
            "seconds": figures(taken),
            "times_doit": {name: round(t.median / doit, 2) for name, t in taken.items()},
        },
    )
    if ratio > AT_MOST:
        print(f"  {ratio:.2f} times as long as doit; {AT_MOST} is the most that is allowed")
    return int(ratio > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())

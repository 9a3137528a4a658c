"""docs/errors.md out of the table of codes and the cases in tests/failing. Run as a module."""

from pathlib import Path

from jessy_build.diagnostics import CODES
from tests.recipe import cases

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors.md"
HEAD = """\
# Errors in recipes and rows

Every problem of a recipe is told at once, with its place, a code, and the next move. R stands for
the recipe and its templates, D for rows of data. The recipe that gives an example, and the whole
text it gives, lie in `tests/failing/` under the example's name.

| code | what is wrong | for example | case |
|---|---|---|---|
"""


def examples() -> dict[str, tuple[str, str]]:
    """For each code the first line of the first case that shows it, and that case's name."""
    found: dict[str, tuple[str, str]] = {}
    # A case with one problem is the better example.
    by_size = sorted(cases.FAILING.glob("*.expected"), key=lambda p: (p.stat().st_size, p.stem))
    for path in by_size:
        for line in path.read_text(encoding="utf-8").splitlines():
            for code in CODES:
                mark = f"[{code}]: "
                if mark in line and code not in found:
                    found[code] = (line.partition(mark)[2].partition("      (")[0], path.stem)
    return found


def page() -> str:
    shown = examples()
    rows = []
    for code, title in sorted(CODES.items()):
        example, case = shown.get(code, ("", ""))
        cells = (code, title, example.replace("|", "\\|"), case)
        rows.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")

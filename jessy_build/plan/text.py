"""How two texts differ, in a few lines that stand in a plan."""

from collections.abc import Iterator


def is_text(value: object) -> bool:
    """Whether a value is better shown by its changed lines than in one."""
    return isinstance(value, str) and ("\n" in value or len(value) > 60)


def changed_lines(old: str, new: str, most: int | None = None) -> Iterator[str]:
    """`- ` and `+ ` lines with one line around them; what lies between is `…`."""
    import difflib

    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm=""))[2:]
    shown = lines[1:] if most is None else lines[1 : 1 + most]
    for line in shown:
        yield "…" if line.startswith("@@") else f"{line[:1]} {line[1:]}".rstrip()
    if len(lines) - 1 > len(shown):
        yield f"… and {len(lines) - 1 - len(shown)} more lines"

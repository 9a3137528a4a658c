"""How two texts differ, in a few lines that stand in a plan."""

from collections.abc import Iterator

from jessy_build.plan.changes import WIDTH, shown


def is_text(value: object) -> bool:
    """Whether a value is better shown by its changed lines than in one."""
    return isinstance(value, str) and ("\n" in value or len(value) > WIDTH)


def by_lines(old: object, new: object) -> bool:
    """Whether a change is better shown by its lines: of a text, or of a list too long for one."""
    sides = [side for side in (old, new) if side is not None]
    if not all(isinstance(side, str | list | tuple) for side in sides):
        return False
    return any(is_text(side) or _is_long_list(side) for side in sides)


def _is_long_list(value: object) -> bool:
    return isinstance(value, list | tuple) and len(shown(value, None)) > WIDTH


def lines_of(value: object) -> str:
    """A text as it is, a list with an item on each line, nothing as no line."""
    if isinstance(value, list | tuple):
        return "\n".join(shown(item, None) for item in value)
    return "" if value is None else str(value)


def changed_lines(old: str, new: str, most: int | None = None) -> Iterator[str]:
    """`- ` and `+ ` lines with one line around them; what lies between is `…`."""
    import difflib

    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm=""))[2:]
    shown = lines[1:] if most is None else lines[1 : 1 + most]
    for line in shown:
        yield "…" if line.startswith("@@") else f"{line[:1]} {line[1:]}".rstrip()
    if len(lines) - 1 > len(shown):
        yield f"… and {len(lines) - 1 - len(shown)} more lines"

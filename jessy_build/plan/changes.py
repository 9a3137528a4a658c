"""The leaves that differ between two values of any shape: what a plan's reasons are made of.

Apart from `diff`, whose many words no plan needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One differing leaf. `old` or `new` is None where the field is absent on that side."""

    field: str
    old: Any
    new: Any


def differences(old: Any, new: Any, at: str = "") -> tuple[Change, ...]:
    """Leaf by leaf; lists are compared whole, as recipes replace them whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[Change] = []
        for name in sorted(old.keys() | new.keys()):
            below = f"{at}.{name}" if at else str(name)
            found += differences(old.get(name), new.get(name), below)
        return tuple(found)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and list(old) == list(new):
        return ()
    return () if old == new else (Change(at, old, new),)


WIDTH = 60
"""Letters of a value that stands in a line with others."""


def shown(value: Any, width: int | None = WIDTH) -> str:
    """A value in a line, as a recipe writes it: short, digests cut to what tells them apart."""
    if value is None:
        return "nothing"
    text = _flow(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    text = " ".join(text.split())
    return text if width is None or len(text) <= width else text[: width - 3] + "…"


def _flow(value: Any) -> str:
    """What is left open in a block says nothing."""
    if isinstance(value, Mapping):
        said = (f"{name}: {_flow(item)}" for name, item in value.items() if item is not None)
        return "{" + ", ".join(said) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        # A weight of 1 is a float to us, and what was written to its author.
        return f"{value:.0f}"
    return "nothing" if value is None else str(value)

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


def shown(value: Any) -> str:
    """A value in a line: short, and digests cut to what tells them apart."""
    if value is None:
        return "nothing"
    text = str(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"

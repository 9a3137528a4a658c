"""What differs between two recipes, field by field and step by step. Data in, data out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One differing leaf. `old` or `new` is None where the field is absent on that side."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Side:
    """A recipe as it was resolved, and the parameters of its steps."""

    name: str
    recipe: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Diff:
    fields: tuple[Change, ...]
    steps: Mapping[str, tuple[Change, ...]]
    """Steps whose own parameters differ; what depends on them may differ too."""
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.fields or self.steps or self.only_left or self.only_right)


def diff(left: Side, right: Side) -> Diff:
    shared = [name for name in right.steps if name in left.steps]
    steps = {name: differences(left.steps[name], right.steps[name]) for name in shared}
    return Diff(
        fields=differences(left.recipe, right.recipe),
        steps={name: changes for name, changes in steps.items() if changes},
        only_left=tuple(name for name in left.steps if name not in right.steps),
        only_right=tuple(name for name in right.steps if name not in left.steps),
    )


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

"""How the steps of one version stand to those of another: shared, changed, or behind a change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jessy_build.plan.changes import Change, differences, shown
from jessy_build.plan.diff import Relation, StepChange

NAMED = 3


@dataclass(frozen=True)
class Known:
    """What a side knows of a step."""

    kind: str = ""
    version: int | None = None
    params: Mapping[str, Any] | None = None
    """None where only the key has come down to us."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """The parameters in the recipe's own words, where they were noted."""
    needs: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The digests that went into the key."""
    key: str | None = None
    output: str | None = None
    decision: str = ""


Side = Mapping[str, Known]


def compare(old: Side, new: Side) -> tuple[StepChange, ...]:
    """In the order of the new side, those that share their artifact too."""
    relations: dict[str, Relation] = {}
    return (*_compared(old, new, relations), *_removed(old, new))


def changes(old: Known, new: Known) -> tuple[Change, ...]:
    """What the step itself was told otherwise; in the recipe's words where both sides have them."""
    if old.params is None or new.params is None:
        return ()
    params = differences(old.params, new.params)
    if params and old.about and new.about:
        return differences(old.about, new.about) or params
    return params


def _compared(old: Side, new: Side, relations: dict[str, Relation]) -> Iterator[StepChange]:
    for name, step in new.items():
        before = old.get(name)
        relation: Relation = "added"
        because = "only on the right side"
        if before is not None:
            relation, because = _relation(before, step, relations)
        relations[name] = relation
        yield StepChange(name, relation, because, step.decision)


def _removed(old: Side, new: Side) -> Iterator[StepChange]:
    for name in old:
        if name not in new:
            yield StepChange(name, "removed", "only on the left side")


def _relation(old: Known, new: Known, relations: Mapping[str, Relation]) -> tuple[Relation, str]:
    if old.key is not None and old.key == new.key:
        return "shared", ""
    if None not in (old.version, new.version) and old.version != new.version:
        return "changed", f"the step's version {old.version} became {new.version}"
    if told := changes(old, new):
        return "changed", _names(told) + " changed"
    needs = new.needs or old.needs
    behind = [need for need in needs.values() if relations.get(need) not in (None, "shared")]
    inputs = [c.field for c in differences(old.inputs, new.inputs)] if old.inputs else []
    if new.inputs and inputs:
        makers = sorted({needs.get(name, name) for name in inputs})
        return "behind", f"the output of {_few(makers)} differs"
    if behind:
        return "behind", f"behind {_few(sorted(set(behind)))}"
    if old.key is not None and new.key is not None:
        # A lock names keys alone; what they were made of may never have been in this store.
        return "unknown", f"made of something else: key {shown(old.key)}, now {shown(new.key)}"
    if old.params is None or new.params is None:
        return "unknown", "what it was made of is not known here"
    return "shared", ""


def _names(changes: tuple[Change, ...]) -> str:
    return _few([change.field for change in changes])


def _few(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")

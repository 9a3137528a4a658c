"""Nodes → the typed recipe. What pydantic finds is told in the recipe's own words and places."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jessy_build import masking
from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.recipe import advice, later, model, scalars, source, tree, vocabulary
from jessy_build.recipe.model import Recipe
from jessy_build.recipe.source import Entry, Node
from jessy_build.recipe.tree import Path

MISSING = code("R101", "a required field is missing")
WRONG_VALUE = code("R102", "a value does not fit its field")
REFUSED = code("R103", "fields do not fit each other")
UNKNOWN = code("R104", "a field is not known")
UNKNOWN_KIND = code("R105", "a kind is not known")

ROUNDS = 6
LOOKED_FOR = 300
"""Of pydantic's errors. A recipe with more is not looked at further."""
STAND_INS: Mapping[str, Any] = {
    "recipe": 1,
    "name": "x",
    "version": "x",
    "base": {"model": "hf:x/x", "revision": "0" * 40},
    "train": {"epochs": 1},
}
"""In place of a block that is wrong or missing, so that the other blocks can be checked."""


@dataclass(frozen=True)
class Shaped:
    """`lost` are the places that were wrong. Without them the recipe can be checked further.

    The recipe is None where too little is left.
    """

    recipe: Recipe | None
    problems: tuple[Diagnostic, ...] = ()
    lost: frozenset[Path] = frozenset()


def shape(root: Node) -> Shaped:
    recipe, errors = _validated(root)
    if recipe is not None:
        return Shaped(recipe)
    problems = tuple(_told(root, errors[:LOOKED_FOR]))
    if len(errors) > LOOKED_FOR:
        return Shaped(None, problems)
    lost: set[Path] = set()
    for _ in range(ROUNDS):
        root, cut = _cut(root, errors)
        lost |= cut
        recipe, errors = _validated(root)
        if recipe is not None:
            break
    return Shaped(recipe, problems, frozenset(lost))


def _validated(root: Node) -> tuple[Recipe | None, list[ErrorDetails]]:
    # Through JSON, so that strict mode still takes a list for a tuple.
    try:
        return Recipe.model_validate_json(json.dumps(source.plain(root))), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


@dataclass(frozen=True)
class _Fault:
    """One place that is wrong, and all that pydantic says about it: a union says one per member."""

    path: Path
    kind: str
    name: str
    errors: tuple[ErrorDetails, ...]


def _told(root: Node, errors: Sequence[ErrorDetails]) -> Iterator[Diagnostic]:
    faults = _faults(root, errors)
    unknown = {(fault.path[:-1], fault.name) for fault in faults if fault.kind == "unknown"}
    for fault in faults:
        match fault.kind:
            case "missing":
                meant = [name for path, name in unknown if path == fault.path]
                if not near(fault.name, meant):
                    yield _missing(root, fault)
            case "unknown":
                yield _unknown(root, fault)
            case "kind":
                yield _unknown_kind(root, fault)
            case "key":
                yield _wrong_key(root, fault)
            case "refused":
                yield _refused(root, fault)
            case _:
                yield _wrong(root, fault)


def _faults(root: Node, errors: Iterable[ErrorDetails]) -> list[_Fault]:
    grouped: dict[tuple[Path, str, str], list[ErrorDetails]] = {}
    for error in errors:
        grouped.setdefault(_place(root, error), []).append(error)
    deep = {(*path, name) if kind == "missing" else path for path, kind, name in grouped}
    refused = {path for path, kind, _ in grouped if kind == "refused"}
    return [
        _Fault(path, kind, name, tuple(found))
        for (path, kind, name), found in grouped.items()
        # A member of a union that another member came further with.
        if kind != "value"
        or not (path in refused or any(p[: len(path)] == path and len(p) > len(path) for p in deep))
    ]


def _place(root: Node, error: ErrorDetails) -> tuple[Path, str, str]:
    """Where in the tree it is, what kind of fault, and the name of the field in question."""
    loc = error["loc"]
    match error["type"]:
        case "missing":
            path = tree.known(root, loc[:-1])
            if isinstance(loc[-1], int):
                return path, "value", str(path[-1]) if path else ""
            return path, "missing", str(loc[-1])
        case "union_tag_not_found" if "'" in str(error.get("ctx", {}).get("discriminator")):
            name = str(error["ctx"]["discriminator"]).strip("'")
            return tree.known(root, loc), "missing", name
        case "union_tag_invalid":
            name = str(error["ctx"]["discriminator"]).strip("'")
            return tree.known(root, (*loc, name)), "kind", name
    path = tree.known(root, loc)
    name = str(path[-1]) if path else ""
    if loc[-1:] == ("[key]",):
        return path, "key", name
    kinds = {"extra_forbidden": "unknown", "value_error": "refused", "assertion_error": "refused"}
    return path, kinds.get(error["type"], "value"), name


def _missing(root: Node, fault: _Fault) -> Diagnostic:
    place = tree.dotted(root, fault.path)
    path = (*fault.path, fault.name)
    return Diagnostic(
        MISSING,
        tree.span(root, fault.path),
        f"{place}.{fault.name}" if place else fault.name,
        f"'{fault.name}' is missing in {place or 'the recipe'}",
        expected=f"{fault.name}: {vocabulary.phrase(root, path)}",
    )


def _unknown(root: Node, fault: _Fault) -> Diagnostic:
    place = tree.dotted(root, fault.path[:-1])
    names = vocabulary.fields(root, fault.path[:-1])
    hint = near(fault.name, names)
    if masking.names_a_key(fault.name) and f"{fault.name}s" not in names:
        hint = masking.HINT
    if not hint and (elsewhere := vocabulary.elsewhere(fault.name)):
        hint = f"'{fault.name}' is a field of {elsewhere}"
    return Diagnostic(
        UNKNOWN,
        tree.key_span(root, fault.path),
        tree.dotted(root, fault.path),
        f"unknown field '{fault.name}' in {place or 'the recipe'}",
        expected=", ".join(vocabulary.usable(fault.path[:-1], names)),
        hint=hint,
    )


def _unknown_kind(root: Node, fault: _Fault) -> Diagnostic:
    tags = str(fault.errors[0]["ctx"]["expected_tags"]).replace("'", "").split(", ")
    tags = [tag for tag in tags if not later.refuses(fault.path, tag)]
    value = source.plain(tree.node(root, fault.path))
    return Diagnostic(
        UNKNOWN_KIND,
        tree.span(root, fault.path),
        tree.dotted(root, fault.path),
        f"there is no {fault.name} {scalars.told(value)}"
        if isinstance(value, str)
        else f"'{fault.name}' cannot be {scalars.told(value)}",
        expected=", ".join(tags),
        hint=near(str(value), tags),
    )


def _wrong_key(root: Node, fault: _Fault) -> Diagnostic:
    expected, names = vocabulary.keys(root, fault.path[:-1])
    return Diagnostic(
        WRONG_VALUE,
        tree.key_span(root, fault.path),
        tree.dotted(root, fault.path),
        f"there is no '{fault.name}' here" if names else f"'{fault.name}' cannot be a name here",
        expected=expected,
        hint=near(fault.name, names) or advice.for_name(fault.name, model.KEY_PATTERN),
    )


def _refused(root: Node, fault: _Fault) -> Diagnostic:
    reason = str(fault.errors[0].get("ctx", {}).get("error", fault.errors[0]["msg"]))
    path = fault.path
    if culprit := _last_named(tree.node(root, path), reason):
        path = (*path, culprit)
    return Diagnostic(REFUSED, tree.key_span(root, path), tree.dotted(root, path), reason)


def _last_named(block: Node, reason: str) -> str:
    """Of the fields that the reason speaks of, the one that came to the others."""
    if not isinstance(block.value, Mapping):
        return ""
    named = [name for name in block.value if re.search(rf"\b{re.escape(name)}\b", reason)]
    spans = [block.value[name].key for name in named]
    if len({span.file for span in spans}) == 1:
        return named[spans.index(max(spans))]
    # What stands in the recipe itself is merged after what it extends.
    return named[-1] if named else ""


def _wrong(root: Node, fault: _Fault) -> Diagnostic:
    value = source.plain(tree.node(root, fault.path))
    expected = vocabulary.phrase(root, fault.path)
    choices = vocabulary.choices(root, fault.path)
    return Diagnostic(
        WRONG_VALUE,
        tree.span(root, fault.path),
        tree.dotted(root, fault.path),
        f"{_named(fault.path)} cannot be {scalars.told(value)}",
        expected=expected,
        got="" if choices else _got(value, expected),
        hint=advice.for_value(fault.path, value, expected, choices),
    )


def _named(path: Path) -> str:
    if not path:
        return "the recipe"
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of '{path[-2]}'"
    return f"'{path[-1]}'"


def _got(value: object, expected: str) -> str:
    """The kind where the kind is wrong, else the value itself."""
    kind = _kind(value)
    if kind == scalars.told(value):
        return ""
    if isinstance(value, str):
        if expected == vocabulary.DATE:
            return ""
        if not vocabulary.is_text(expected):
            return kind
        return scalars.told(value) if 0 < len(value) <= 60 else f"{len(value)} characters"
    number = not isinstance(value, bool) and "a number" in expected
    return scalars.told(value) if number or kind in expected else kind


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
    return scalars.told(value)


def _cut(root: Node, errors: Iterable[ErrorDetails]) -> tuple[Node, set[Path]]:
    """The tree without what is wrong in it, and the places that went."""
    lost: set[Path] = set()
    for path, kind, name in sorted({_place(root, error) for error in errors}, key=str):
        if kind == "missing" and not path:
            lost.add((name,))
        elif kind == "kind":
            lost.add(path[:-1])
        else:
            lost.add(path)
    for path in sorted(lost, key=len, reverse=True):
        root = tree.without(root, path)
    for name in {str(path[0]) for path in lost if len(path) == 1} & STAND_INS.keys():
        root = _standing_in(root, name, STAND_INS[name])
    return root, lost


def _standing_in(root: Node, name: str, value: Any) -> Node:
    node = source.parse_value(json.dumps(value), root.span.file, root.span).root
    assert isinstance(root.value, Mapping) and node is not None
    return replace(root, value={**root.value, name: Entry(root.span, node)})

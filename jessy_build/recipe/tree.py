"""Walk a tree of nodes by path: what stands where, and how a place is called."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from jessy_build.diagnostics import Span
from jessy_build.recipe.source import Node

Path: TypeAlias = tuple[str | int, ...]


CALLED_BY = ("name", "prompt")
"""Fields that an item of a list is called by, in this order."""


def known(root: Node, loc: Sequence[str | int]) -> Path:
    """The segments that lead through the tree; what is none of it (a union's tag) is skipped."""
    path: list[str | int] = []
    here = root
    for segment in loc:
        if (inner := child(here, segment)) is not None:
            path.append(segment)
            here = inner
    return tuple(path)


def size(root: Node) -> int:
    """How many values there are. What a node says of its own size is from before it was merged."""
    match root.value:
        case tuple():
            return 1 + sum(map(size, root.value))
        case Mapping():
            return 1 + sum(1 + size(entry.node) for entry in root.value.values())
    return 1


def child(node: Node, segment: str | int) -> Node | None:
    if isinstance(node.value, Mapping):
        entry = node.value.get(str(segment)) if isinstance(segment, str) else None
        return entry.node if entry else None
    if isinstance(node.value, tuple) and isinstance(segment, int):
        return node.value[segment] if segment < len(node.value) else None
    return None


def segments(node: Node) -> tuple[str | int, ...]:
    """The names or numbers of what stands directly below."""
    if isinstance(node.value, Mapping):
        return tuple(node.value)
    return tuple(range(len(node.value))) if isinstance(node.value, tuple) else ()


def node(root: Node, path: Path) -> Node:
    for segment in path:
        inner = child(root, segment)
        if inner is None:
            raise KeyError(path)
        root = inner
    return root


def find(root: Node, field: str) -> Path:
    """The place that a dotted name leads to, as far as there is one.

    A list's item is found by its index, its text or its `name`; names may hold dots.
    """
    return _find(root, tuple(field.split(".")) if field else ())


def _find(here: Node, words: tuple[str, ...]) -> Path:
    for length in range(len(words), 0, -1):
        segment = _segment(here, ".".join(words[:length]))
        if segment is not None and (inner := child(here, segment)) is not None:
            return (segment, *_find(inner, words[length:]))
    return ()


def _segment(here: Node, word: str) -> str | int | None:
    if isinstance(here.value, Mapping):
        return word if word in here.value else None
    if isinstance(here.value, tuple):
        names = [_item_name(item) for item in here.value]
        if word in names:
            return names.index(word)
        return int(word) if word.isdecimal() and int(word) < len(names) else None
    return None


def names(root: Node, path: Path) -> tuple[str, ...]:
    """As written, so that a block set aside for its faults is no unknown one."""
    try:
        value = node(root, path).value
    except KeyError:
        return ()
    return tuple(value) if isinstance(value, Mapping) else ()


def dotted(root: Node, path: Path, above: Path = ()) -> str:
    """`categories.technical.topics.rust`: an item of a list is called by its name if it has one."""
    here = node(root, above)
    words = []
    for segment in path:
        inner = child(here, segment)
        name = _item_name(inner) if isinstance(segment, int) and inner else None
        words.append(name or str(segment))
        if inner is None:
            break
        here = inner
    return ".".join(words)


def _item_name(item: Node) -> str | None:
    if isinstance(item.value, Mapping):
        named = next((item.value[word] for word in CALLED_BY if word in item.value), None)
        item = named.node if named else item
    return item.value if isinstance(item.value, str) and len(item.value) <= 60 else None


def key_span(root: Node, path: Path) -> Span:
    """The name of a field; for an item of a list, its first line."""
    if not path:
        return root.span
    above = node(root, path[:-1])
    if isinstance(above.value, Mapping) and (entry := above.value.get(str(path[-1]))):
        return entry.key
    return node(root, path).span


def span(root: Node, path: Path) -> Span:
    """A single value where it stands; a list or a mapping by the name of its field."""
    while True:
        try:
            here = node(root, path)
        except KeyError:
            path = path[:-1]
            continue
        if isinstance(here.value, Mapping | tuple):
            return key_span(root, path)
        return here.span


def without(root: Node, path: Path) -> Node:
    """The tree with one place less; unchanged where there is no such place."""
    if not path:
        return root
    segment, rest = path[0], path[1:]
    inner = child(root, segment)
    if inner is None:
        return root
    if isinstance(root.value, tuple):
        kept = [n for i, n in enumerate(root.value) if i != segment or rest]
        if rest:
            kept[int(segment)] = without(inner, rest)
        return replace(root, value=tuple(kept))
    assert isinstance(root.value, Mapping)
    entries = dict(root.value)
    if rest:
        entries[str(segment)] = replace(entries[str(segment)], node=without(inner, rest))
    else:
        del entries[str(segment)]
    return replace(root, value=entries)

"""`matrix`: lists of values for any fields → one recipe for each combination. Nodes in, nodes out.

Each combination is a recipe like any other: its values stand where they would be written, with the
places of the matrix, and its `version` says which one it is.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from jessy_build import digest
from jessy_build.diagnostics import Diagnostic, Span, code, near
from jessy_build.recipe import merge, scalars, shape, source, tree
from jessy_build.recipe.source import Node
from jessy_build.recipe.tree import Path

UNVARIED = code("R228", "a matrix varies what it cannot")
TOO_MANY = code("R229", "a matrix has too many combinations")
TWICE = code("R230", "a matrix says one value twice")

MOST = 64
"""Combinations. Each is a training of its own; a list this long was never meant to be a product."""
LONGEST = 64
"""Letters of a version, as the recipe's `version` and Ollama's tags have them."""
LONGEST_VALUE = 24
FIXED = ("recipe", "extends", "matrix", "pools", "budget", "store", "allow_outside")
"""Fields that are the same for all, since they do not say what the model shall be."""
OWN_NAMES = ("teachers", "complexity", "categories", "persona.vars", "categories.*.topics")
"""Blocks whose names are the user's: a matrix varies those that are there, and adds none."""
SHORT: Mapping[str, str] = {"learning_rate": "lr", "batch_size": "batch"}


@dataclass(frozen=True)
class Varied:
    """A field, where its name stands in the matrix, and the values that it takes."""

    field: str
    key: Span
    values: tuple[Node, ...]


@dataclass(frozen=True)
class Combination:
    """One value for each field. `label` names it among its siblings: `rank8-lr0.0003`."""

    label: str
    suffix: str
    """The same without the version, where that is varied too."""
    chosen: tuple[tuple[Varied, Node], ...]

    def applied(self, root: Node) -> Node:
        """The tree of this recipe alone."""
        root = tree.without(root, ("matrix",))
        for varied, value in self.chosen:
            root = merge.put(root, varied.field.split("."), value, varied.key)
        version = tree.child(root, "version")
        if self.suffix and version is not None and isinstance(version.value, str):
            text = fitted(version.value, self.suffix)
            root = merge.put(root, ["version"], replace(version, value=text), version.span)
        return merge.without_nulls(root)


def combinations(root: Node) -> tuple[Combination, ...]:
    """In written order, the last field varying fastest; none where there is no usable matrix."""
    fields = _varied(root)
    if not fields or math.prod(len(varied.values) for varied in fields) > MOST:
        return ()
    names = _names([varied.field for varied in fields])
    labels = [_labels(name, varied) for name, varied in zip(names, fields, strict=True)]
    return tuple(
        _combination(fields, [label[i] for label, i in zip(labels, indexes, strict=True)], indexes)
        for indexes in product(*(range(len(varied.values)) for varied in fields))
    )


def _combination(
    fields: Sequence[Varied], labels: Sequence[str], indexes: Sequence[int]
) -> Combination:
    others = [
        label for varied, label in zip(fields, labels, strict=True) if varied.field != "version"
    ]
    chosen = ((varied, varied.values[i]) for varied, i in zip(fields, indexes, strict=True))
    return Combination("-".join(labels), "-".join(others), tuple(chosen))


def problems(root: Node) -> Iterator[Diagnostic]:
    """What is wrong with the matrix itself; what its values do together, each recipe tells."""
    fields = _varied(root)
    if not fields:
        return
    if len(fields) > MOST:
        problem = f"the matrix varies {len(fields):,} fields"
        yield _told(root, ("matrix",), TOO_MANY, problem, expected=f"at most {MOST}")
        return
    count = math.prod(len(varied.values) for varied in fields)
    if count > MOST:
        lists = " × ".join(str(len(varied.values)) for varied in fields)
        yield _told(
            root,
            ("matrix",),
            TOO_MANY,
            f"the matrix has {lists} = {count} combinations",
            expected=f"at most {MOST}: each is a training of its own",
        )
        return
    plain = tree.without(root, ("matrix",))
    told = set(shape.shape(merge.without_nulls(plain)).problems)
    if len(told) > MOST:
        # The recipe around it is far from right: to look at it once for each value takes long.
        return
    for varied in fields:
        if refusal := _refused(plain, varied) or _overlapping(varied, fields):
            yield refusal
            continue
        yield from _repeated(varied)
        for value in varied.values:
            changed = merge.put(plain, varied.field.split("."), value, varied.key)
            for found in shape.shape(merge.without_nulls(changed)).problems:
                if found not in told:
                    told.add(found)
                    yield replace(found, field=f"matrix.{varied.field}")


def _varied(root: Node) -> list[Varied]:
    """Fields with a list of values; others are told by the shape of the recipe."""
    matrix = tree.child(root, "matrix")
    if matrix is None or not isinstance(matrix.value, Mapping):
        return []
    return [
        Varied(field, entry.key, entry.node.value)
        for field, entry in matrix.value.items()
        if isinstance(entry.node.value, tuple) and entry.node.value
    ]


def _refused(root: Node, varied: Varied) -> Diagnostic | None:
    words = varied.field.split(".")
    place = f"matrix.{varied.field}"
    if not all(words) or len(words) > source.MAX_DEPTH:
        return Diagnostic(UNVARIED, varied.key, place, f"{scalars.told(varied.field)} is no field")
    if words[0] in FIXED:
        problem = f"{scalars.told(varied.field)} cannot differ between the builds of a matrix"
        return Diagnostic(UNVARIED, varied.key, place, problem, hint="write it once, outside")
    for depth, word in enumerate(words):
        block = words[:depth]
        if _pattern(block) not in OWN_NAMES or word in (names := tree.names(root, tuple(block))):
            continue
        return Diagnostic(
            UNVARIED,
            varied.key,
            place,
            f"there is no {scalars.told(word)} under '{'.'.join(block)}' to be varied",
            expected=", ".join(names[:12]) or f"'{'.'.join(block)}' to be written in the recipe",
            hint=near(word, names),
        )
    try:
        merge.put(root, words, varied.values[0], varied.key)
    except LookupError as error:
        return Diagnostic(UNVARIED, varied.key, place, str(error.args[0]))
    return None


def _overlapping(varied: Varied, fields: Sequence[Varied]) -> Diagnostic | None:
    """Which of the two values would stand in the end, no reader could tell."""
    for other in fields:
        if varied.field.startswith(f"{other.field}."):
            problem = f"'{varied.field}' lies within '{other.field}', which is varied too"
            return Diagnostic(
                UNVARIED,
                varied.key,
                f"matrix.{varied.field}",
                problem,
                hint=f"write its values into the mappings of '{other.field}'",
            )
    return None


def _pattern(block: Sequence[str]) -> str:
    """`categories.*.topics` for the topics of any category."""
    named = ["*" if at == 1 and block[0] == "categories" else word for at, word in enumerate(block)]
    return ".".join(named)


def _repeated(varied: Varied) -> Iterator[Diagnostic]:
    seen: list[Any] = []
    for value in varied.values:
        plain = source.plain(value)
        # 1 and 1.0 and true are one value to Python, and three to a recipe.
        if any(type(plain) is type(other) and plain == other for other in seen):
            problem = f"{scalars.told(plain)} stands twice"
            yield Diagnostic(TWICE, value.span, f"matrix.{varied.field}", problem, hint="remove it")
        seen.append(plain)


def _told(root: Node, place: Path, problem_code: str, problem: str, **words: str) -> Diagnostic:
    return Diagnostic(
        problem_code, tree.key_span(root, place), tree.dotted(root, place), problem, **words
    )


# Names that people can type: a version is a folder and an Ollama tag.


def _names(fields: Sequence[str]) -> list[str]:
    """The last word of each field, or its last two where one word would mean several."""
    last = [SHORT.get(word, word) for word in (field.rpartition(".")[2] for field in fields)]
    named = []
    for field, word in zip(fields, last, strict=True):
        above = field.split(".")[-2:-1]
        named.append("-".join([*above, word]) if last.count(word) > 1 else word)
    return [_slug(name) for name in named]


def _labels(name: str, varied: Varied) -> list[str]:
    """`rank8`, `schedule-cosine`; of the version itself the bare values."""
    plain = [source.plain(value) for value in varied.values]
    texts = [_slug(_spoken(value))[:LONGEST_VALUE].strip("-.") for value in plain]
    if not all(texts) or len(set(texts)) < len(texts):
        # Two long texts may begin alike; then each is called by its place in the list.
        texts = [f"no{at + 1}" for at in range(len(texts))]
    if varied.field == "version":
        return texts
    numeric = [isinstance(value, int | float) and not isinstance(value, bool) for value in plain]
    return [
        f"{name}{text}" if number else f"{name}-{text}"
        for text, number in zip(texts, numeric, strict=True)
    ]


def _spoken(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case float():
            return repr(value)
        case dict():
            return "-".join(f"{name}-{_spoken(inner)}" for name, inner in value.items())
        case list():
            return "-".join(map(_spoken, value))
    return str(value)


def _slug(text: str) -> str:
    from jessy_build.recipe import advice

    return re.sub(r"[^a-z0-9.]+", "-", advice.plain_letters(text).lower()).strip("-.")


def fitted(version: str, suffix: str) -> str:
    """Cut where it would be too long for a tag, with a digest that tells it from its siblings."""
    text = f"{version}-{suffix}"
    if len(text) <= LONGEST:
        return text
    mark = digest.of_value(text)[:8]
    return f"{text[: LONGEST - len(mark) - 1].rstrip('-.')}-{mark}"

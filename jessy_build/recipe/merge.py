"""One tree of nodes out of a recipe, the recipes it extends, and `--set` overrides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.recipe import paths, scalars, source
from jessy_build.recipe.paths import Folder, Found, Ground, PathProblem
from jessy_build.recipe.source import Entry, Node
from jessy_build.recipe.text import UNPRINTABLE

BAD_SET = code("R012", "a --set cannot be read")
BAD_EXTENDS = code("R013", "recipes extend each other without end")
A_LOCK = code("R019", "a lock file stands where a recipe is meant")

MAX_LAYERS = 8
SET = "--set"
"""The name under which overrides are shown; line N is the Nth of them."""


@dataclass
class Merged:
    """A recipe and all that it extends, as one tree."""

    root: Node | None
    problems: list[Diagnostic] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    """For each file by its shown name: what the paths in it are relative to."""
    files: dict[Path, str] = field(default_factory=dict)
    """sha256 of every file read."""


def read(recipe: Found, overrides: Sequence[str], project: Path) -> Merged:
    """The nodes with the spans of where they were written; null takes a field away."""
    merged = Merged(None)
    root = _with_base(recipe, project, merged, ())
    merged.folders[SET] = paths.folder_of(recipe)
    if root is None:
        return merged
    for line, text in enumerate(overrides, start=1):
        root = _override(root, text, line, merged.problems)
    merged.root = without_nulls(root)
    return merged


def over(below: Node, above: Node) -> Node:
    """Mappings merge, all else is replaced; what stands above wins."""
    if not isinstance(below.value, Mapping) or not isinstance(above.value, Mapping):
        return above
    entries = dict(below.value)
    for name, entry in above.value.items():
        if name in entries:
            entry = replace(entry, node=over(entries[name].node, entry.node))
        entries[name] = entry
    return replace(above, value=entries)


def _with_base(found: Found, project: Path, merged: Merged, below: tuple[Path, ...]) -> Node | None:
    if paths.is_lock(found.path.name):
        merged.problems.append(_is_a_lock(found))
        return None
    document = source.read(found.path, found.shown)
    merged.problems += document.problems
    merged.folders[found.shown] = paths.folder_of(found)
    if document.sha256:
        merged.files[found.path] = document.sha256
    root = document.root
    if root is None or not isinstance(root.value, Mapping):
        return None
    extends = root.value.get("extends")
    if extends is None or not isinstance(extends.node.value, str):
        return root
    base = _base(extends.node, found, root, project, merged, (*below, found.path.resolve()))
    # Without what it extends, half a recipe would be told to lack the other half.
    return None if base is None else over(base, root)


def _is_a_lock(found: Found) -> Diagnostic:
    return Diagnostic(
        A_LOCK,
        Span(found.shown, 1, 1, 2),
        "",
        "this is a lock file: it tells what was built, and nothing is built from it",
        expected="a recipe",
        hint=f"name its recipe, {found.shown.removesuffix(paths.LOCK_ENDING)}.yaml",
    )


def _base(
    node: Node, found: Found, root: Node, project: Path, merged: Merged, below: tuple[Path, ...]
) -> Node | None:
    text = str(node.value)
    try:
        base = paths.resolve(text, paths.folder_of(found), Ground(project, may_leave(root)))
    except PathProblem as problem:
        merged.problems.append(diagnostic(problem, node.span, "extends"))
        return None
    if base.path.resolve() in below:
        problem_text = f"'{text}' extends itself"
    elif len(below) >= MAX_LAYERS:
        problem_text = f"more than {MAX_LAYERS} recipes extend each other"
    else:
        return _with_base(base, project, merged, below)
    merged.problems.append(Diagnostic(BAD_EXTENDS, node.span, "extends", problem_text))
    return None


def diagnostic(problem: PathProblem, span: Span, field_name: str) -> Diagnostic:
    return Diagnostic(
        problem.code,
        span,
        field_name,
        problem.problem,
        expected=problem.expected,
        hint=problem.hint,
    )


def may_leave(root: Node) -> bool:
    assert isinstance(root.value, Mapping)
    entry = root.value.get("allow_outside")
    return entry is not None and entry.node.value is True


def _override(root: Node, text: str, line: int, problems: list[Diagnostic]) -> Node:
    path, equals, value = text.partition("=")
    names = path.split(".")
    if problem := _bad_path(text, path, names, equals):
        span = Span(SET, line, 1, max(len(text) + 1, 2))
        expected = "a path and a value, as in train.epochs=2"
        problems.append(Diagnostic(BAD_SET, span, "", problem, expected=expected))
        return root
    start = len(path) + 2
    span = Span(SET, line, start, max(start + 1, len(text) + 1))
    document = source.parse_value(value, SET, span, path)
    if document.root is None:
        problems.extend(
            document.problems or [Diagnostic(BAD_SET, span, path, "this is not one value")]
        )
        return root
    problems.extend(document.problems)
    key = Span(SET, line, 1, len(path) + 1)
    try:
        return put(root, names, document.root, key)
    except LookupError as error:
        problems.append(Diagnostic(BAD_SET, key, path, str(error.args[0])))
        return root


def _bad_path(text: str, path: str, names: Sequence[str], equals: str) -> str:
    if UNPRINTABLE.search(text):
        return "a control character stands in the text"
    if not equals:
        return f"{scalars.told(text)} sets nothing"
    if not all(names):
        return f"{scalars.told(path)} names no field"
    if names[0] == "extends":
        return "what a recipe extends can only be written in a file"
    if len(names) > source.MAX_DEPTH:
        return f"the path has more than {source.MAX_DEPTH} names"
    return ""


def put(node: Node, names: Sequence[str], value: Node, key: Span) -> Node:
    """`value` in place of what stands at `names`; a number names an item of a list."""
    if not names:
        return over(node, value)
    name, rest = names[0], names[1:]
    if isinstance(node.value, tuple):
        if not name.isdecimal() or int(name) >= len(node.value):
            raise LookupError(f"the list has {len(node.value)} items, and none is '{name}'")
        items = list(node.value)
        items[int(name)] = put(items[int(name)], rest, value, key)
        return replace(node, value=tuple(items))
    entries = dict(node.value) if isinstance(node.value, Mapping) else {}
    below = entries.get(name)
    inner = put(below.node, rest, value, key) if below else _nested(rest, value, key)
    entries[name] = Entry(key if not rest or below is None else below.key, inner)
    return replace(node, value=entries)


def _nested(names: Iterable[str], value: Node, key: Span) -> Node:
    for name in reversed(list(names)):
        value = Node(value.span, {name: Entry(key, value)})
    return value


def without_nulls(node: Node) -> Node:
    """Fields that say null are as if nobody had written them."""
    if isinstance(node.value, tuple):
        return replace(node, value=tuple(map(without_nulls, node.value)))
    if isinstance(node.value, Mapping):
        entries = {
            name: replace(entry, node=without_nulls(entry.node))
            for name, entry in node.value.items()
            if entry.node.value is not None
        }
        return replace(node, value=entries)
    return node

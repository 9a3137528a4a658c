"""Functions and methods, found by tree-sitter, each with what stands right above it.

One inside another belongs to it. A function with a syntax error in it is left out, since nobody
knows where it ends; those around it, and whole ones inside it, are still found.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from textwrap import dedent
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build.diagnostics import MissingPackage
from jessy_build.sources import grammars
from jessy_build.sources.config import Written
from jessy_build.sources.excerpt import Piece
from jessy_build.sources.grammars import Grammar

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

SUPPORTED: frozenset[Written] = frozenset(grammars.GRAMMARS)
INSTALL = "uv pip install 'jessy-build[sources]'"


class Functions(NamedTuple):
    pieces: tuple[Piece, ...]
    broken: tuple[int, ...]
    """The lines where functions begin that have a syntax error in them."""


class _Tool(NamedTuple):
    parser: "Parser"
    query: "Query"
    cursor: Any


def find(lines: Sequence[str], language: Written, file: str) -> Functions:
    grammar = grammars.of(language, file)
    tool = _tool(grammar.package, grammar.call, grammar.query)
    source = "\n".join(lines).encode()
    root = tool.parser.parse(source).root_node
    captured = tool.cursor(tool.query).captures(root)
    above = {_last_row(node): node for node in captured.get("before", ())}
    pieces, broken, end = [], [], 0
    for node in sorted(captured.get("function", ()), key=lambda n: (n.start_byte, -n.end_byte)):
        if node.end_byte <= end:
            continue
        if _is_torn(node, grammar):
            broken.append(node.start_point.row + 1)
            continue
        end = node.end_byte
        outer = _outer(node, grammar)
        first = _begin(outer, above, source)
        pieces.append(
            Piece(
                first.start_point.row + 1,
                outer.end_point.row + 1,
                _name(node, grammar),
                _text(source, first.start_byte, outer.end_byte),
            )
        )
    if root.has_error and not broken and not (grammar.macros and pieces):
        broken.append(_first_error(root))
    return Functions(tuple(pieces), tuple(broken))


@cache
def _tool(package: str, call: str, query: str) -> _Tool:
    """MissingPackage where this machine has no tree-sitter, or not the grammar."""
    try:
        from tree_sitter import Language, Parser, Query, QueryCursor

        module = import_module(package)
    except ImportError as error:
        raise MissingPackage(
            (error.name or package).replace("_", "-"),
            needed_for="`sources` with `unit: function`",
            install=INSTALL,
        ) from None
    language = Language(getattr(module, call)())
    return _Tool(Parser(language), Query(language, query), QueryCursor)


def _is_torn(node: "Node", grammar: Grammar) -> bool:
    body = node.child_by_field_name("body") if grammar.macros else None
    return (body or node).has_error


def _outer(node: "Node", grammar: Grammar) -> "Node":
    """With the decorators, or the `export const` around it."""
    while (
        (parent := node.parent)
        and parent.type in grammar.around
        and len([n for n in parent.named_children if n.type not in ("decorator", "comment")]) == 1
    ):
        node = parent
    return node


def _begin(node: "Node", above: dict[int, "Node"], source: bytes) -> "Node":
    """The first of the comments and attributes that stand right above it, or before it in its
    line. One that stands behind something else, or at another depth, is none of its own."""
    column = node.start_point.column if _is_first(node, source) else -1
    while True:
        row = node.start_point.row
        beside, before = above.get(row), above.get(row - 1)
        if beside is not None and beside.end_byte <= node.start_byte:
            node = beside
            column = node.start_point.column if _is_first(node, source) else -1
        elif (
            before is not None
            and before.start_point.column == column
            and before.start_byte < node.start_byte
            and _is_first(before, source)
        ):
            node = before
        else:
            return node


def _last_row(node: "Node") -> int:
    """A comment may end with its line break, and so in the next row."""
    return node.end_point.row - (node.end_point.column == 0)


def _is_first(node: "Node", source: bytes) -> bool:
    return not _line_before(source, node.start_byte).strip()


def _line_before(source: bytes, at: int) -> bytes:
    return source[source.rfind(b"\n", 0, at) + 1 : at]


def _text(source: bytes, start: int, end: int) -> str:
    """As written, moved to the left margin: a method is read without its class."""
    before = _line_before(source, start)
    if not before.strip():
        start -= len(before)
    return dedent(source[start:end].decode()).rstrip()


def _name(node: "Node", grammar: Grammar) -> str:
    words = [_own_name(node)]
    if node.type == "method_declaration":
        words.append(_receiver(node))
    above = node.parent
    while above is not None:
        if field := grammar.scopes.get(above.type):
            words.append(_plain(above.child_by_field_name(field)))
        above = above.parent
    return grammar.between.join(filter(None, reversed(words)))


def _own_name(node: "Node") -> str:
    if named := node.child_by_field_name("name"):
        return _said(named)
    if node.type == "export_statement":
        return "default"
    found = node.child_by_field_name("declarator")
    while found is not None and not found.type.endswith("identifier"):
        inner = found.child_by_field_name("declarator")
        found = inner or (found.named_children[0] if found.named_children else None)
    return _said(found) if found is not None else ""


def _receiver(node: "Node") -> str:
    """Of `(s *Stack[T])` the type alone."""
    words = re.findall(r"\w+", re.sub(r"\[.*", "", _said(node.child_by_field_name("receiver"))))
    return words[-1] if words else ""


def _plain(named: "Node | None") -> str:
    """A type without its parameters."""
    inner = named.child_by_field_name("type") if named and named.type == "generic_type" else None
    return _said(inner or named)


def _said(node: "Node | None") -> str:
    return node.text.decode() if node is not None and node.text else ""


def _first_error(root: "Node") -> int:
    """The line of the first mistake inside; the parser may call all that is there one, too."""
    wrong = [node for node in _nodes(root) if node.type == "ERROR" or node.is_missing]
    inner = [node for node in wrong if node.start_byte or node.end_byte < root.end_byte]
    return min((node.start_point.row + 1 for node in inner), default=1)


def _nodes(root: "Node") -> Iterator["Node"]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in node.children if child.has_error]

"""What tree-sitter has to look for in each language: one row a language.

A query runs inside the parser's own library, so that no node is met here that is no function, and
no comment.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jessy_build.sources.config import Written


class Grammar(NamedTuple):
    package: str
    call: str
    """What the package calls its language."""
    query: str
    """`@function` is what is wanted; `@before` what belongs to one that it stands right above."""
    around: frozenset[str]
    """Nodes that a function takes along where it is all that they hold, as an `export`."""
    scopes: Mapping[str, str]
    """Nodes that names stand in, with the field that has the name."""
    between: str = "."
    macros: bool = False
    """Whether words stand before a name that only a preprocessor knows: then an error there is
    none, and the body alone has to be right."""


_SCRIPT = """
(function_declaration) @function
(generator_function_declaration) @function
(method_definition) @function
(variable_declarator value: [(arrow_function) (function_expression)]) @function
(public_field_definition value: [(arrow_function) (function_expression)]) @function
(export_statement value: [(arrow_function) (function_expression)]) @function
(comment) @before
(decorator) @before
"""
_TYPESCRIPT = Grammar(
    "tree_sitter_typescript",
    "language_typescript",
    _SCRIPT,
    frozenset(("export_statement", "lexical_declaration", "variable_declaration")),
    {
        "class_declaration": "name",
        "abstract_class_declaration": "name",
        "class": "name",
        "internal_module": "name",
    },
)
TSX = _TYPESCRIPT._replace(call="language_tsx")
"""Also reads JavaScript, so that no third grammar is needed. Not all of TypeScript: `<T>value`."""

GRAMMARS: Mapping[Written, Grammar] = {
    "c": Grammar(
        "tree_sitter_c",
        "language",
        "(function_definition) @function (comment) @before",
        frozenset(),
        {},
        macros=True,
    ),
    "go": Grammar(
        "tree_sitter_go",
        "language",
        "[(function_declaration) (method_declaration)] @function (comment) @before",
        frozenset(),
        {},
    ),
    "javascript": TSX,
    "python": Grammar(
        "tree_sitter_python",
        "language",
        "(function_definition) @function (comment) @before",
        frozenset(("decorated_definition",)),
        {"class_definition": "name"},
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        "language",
        "(function_item) @function [(line_comment) (block_comment) (attribute_item)] @before",
        frozenset(),
        {"impl_item": "type", "trait_item": "name", "mod_item": "name"},
        "::",
    ),
    "typescript": _TYPESCRIPT,
}


def of(language: Written, file: str) -> Grammar:
    return TSX if file.lower().endswith("x") else GRAMMARS[language]

"""YAML text → nodes that know where they stand. Refuses what could be read in two ways.

The text is read as a stream of parse events, with bounds on depth and repetition: no input takes
long. PyYAML's own composer would let the last of two equal fields win, and follows aliases blindly.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from jessy_build.diagnostics import Diagnostic, Span, code
from jessy_build.recipe.scalars import Scalar, resolve, told
from jessy_build.recipe.text import (
    NOT_TEXT,
    ROWS_ELSEWHERE,
    SEPARATORS,
    TOO_LARGE,
    Lines,
    UnreadableText,
    half_character,
    named,
    read_text,
)

NOT_YAML = code("R004", "the text is not YAML")
NOT_ONE_MAPPING = code("R005", "a recipe is one mapping of fields")
DUPLICATE = code("R006", "a field is written twice")
BAD_KEY = code("R007", "a field's name is not a plain word")
BAD_TAG = code("R008", "a YAML tag is not known here")
TOO_DEEP = code("R009", "the text nests or repeats without bound")
BAD_SCALAR = code("R010", "a value cannot be held")
NO_VALUE = code("R011", "a field has no value")
TEMPLATE = code("R014", "a template stands outside of quotes")

MANY_PROBLEMS = code("R015", "a recipe has many more problems")

MAX_DEPTH = 32
MAX_VALUES = 50_000
"""Of the fields, lists and texts of a recipe: it takes memory and time for each of them."""
MAX_NAME = 200
LOOKED_FOR = 1000
"""Problems after which the rest of a text is not looked at."""
MAX_REPEATED = 10_000
"""Nodes that aliases may add to those that are written out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, and what stands behind it."""

    key: Span
    node: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file, and where it stands."""

    span: Span
    value: "Scalar | tuple[Node, ...] | Mapping[str, Entry]"
    size: int = 1
    """Nodes below and including this one, each alias counted as what it repeats."""
    height: int = 0
    """Levels below this one."""


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read, and all that is wrong with it. `root` is None where nothing could."""

    root: Node | None
    problems: tuple[Diagnostic, ...]
    sha256: str = ""


def read(path: Path, shown: str) -> Document:
    """`shown` is the name people see; no problem of the file raises."""
    try:
        text, sha256 = read_text(path)
    except UnreadableText as error:
        return Document(None, (error.diagnostic(shown),))
    return replace(parse(text, shown), sha256=sha256)


def parse(text: str, shown: str) -> Document:
    reader = _Reader(shown, text)
    try:
        root = reader.document()
    except _Stop as stop:
        return Document(None, (*reader.problems, stop.diagnostic))
    except yaml.YAMLError as error:
        return Document(None, _with(reader.syntax(error), reader.problems))
    return Document(root, tuple(reader.problems))


def _with(syntax: Diagnostic, problems: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Both, unless the line is known to be broken by a template without quotes."""
    templates = {problem.span.line for problem in problems if problem.code == TEMPLATE}
    return tuple(problems) if syntax.span.line in templates else (*problems, syntax)


def parse_value(text: str, shown: str, span: Span, field_name: str = "") -> Document:
    """One value, as it might stand after `field: `; every place in it is `span`."""
    document = parse(f"value: {text}", shown)
    problems = tuple(replace(problem, span=span, field=field_name) for problem in document.problems)
    fields = document.root.value if document.root else None
    if not isinstance(fields, Mapping) or set(fields) != {"value"}:
        return Document(None, problems)
    return Document(_moved(fields["value"].node, span), problems)


def plain(node: Node) -> Any:
    """The node's value as JSON knows it."""
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    if isinstance(node.value, Mapping):
        return {name: plain(entry.node) for name, entry in node.value.items()}
    return node.value


TOO_MANY_VALUES = f"a recipe holds at most {MAX_VALUES:,} values, and here are more"
FIRST_THOSE_ABOVE = "put the ones above right first, then check again"


class _Stop(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.problem)
        self.diagnostic = diagnostic


@dataclass
class _Reader:
    """Composes one document from libyaml's events, collecting what is wrong but can be passed."""

    file: str
    text: str
    problems: list[Diagnostic] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)
    """None while the anchored node is still being read: an alias to it would never end."""
    repeated: int = 0
    values: int = 0
    closed: int = 0
    path: list[str] = field(default_factory=list)
    """The names that lead to what is being read."""

    def __post_init__(self) -> None:
        self.lines = Lines(self.text)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events: Iterator[Any] = yaml.parse(self.text, Loader=loader)

    def document(self) -> Node | None:
        if separator := SEPARATORS.search(self.text):
            line, column = self.lines.place(separator.start())
            span = Span(self.file, line, column, column + 1)
            problem = f"the invisible line separator {named(separator.group())} stands in the text"
            hint = "remove it: YAML readers do not agree on what it means"
            raise _Stop(Diagnostic(NOT_TEXT, span, "", problem, hint=hint))
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            self._refuse_root(Span(self.file, 1, 1, 2), "the file is empty")
            return None
        event = next(self.events)
        root = self._node(event, 1)
        next(self.events)
        following = next(self.events)
        if isinstance(following, yaml.DocumentStartEvent):
            self._say(
                NOT_ONE_MAPPING,
                self._span(following),
                "a second YAML document begins here",
                expected="one recipe a file",
                hint="remove the line '---', or move what follows to a file of its own",
            )
        if isinstance(root.value, dict):
            return root
        if root.value is None:
            self._refuse_root(root.span, "the file is empty")
        else:
            self._refuse_root(root.span, "the file is no mapping of fields", told(plain(root)))
        return None

    def syntax(self, error: yaml.YAMLError) -> Diagnostic:
        if not isinstance(error, yaml.MarkedYAMLError):
            return Diagnostic(NOT_YAML, Span(self.file, 1, 1, 2), "", "this cannot be read")
        mark, opened = error.problem_mark, error.context_mark
        problem, hint = _in_words(error.problem or error.context or "this cannot be read")
        endless = opened and mark and mark.index >= len(self.text.rstrip())
        if mark is None or endless or error.problem == NO_COLON:
            # What has no end, or lacks its colon, is best shown where it begins.
            mark, opened = opened, None
        index = min(mark.index, len(self.text)) if mark else 0
        line, column = self.lines.place(index)
        end = self.lines.end_of_line(line) if error.problem == NO_COLON else column + 1
        if UNQUOTED.search(self.lines.line(line)):
            hint = QUOTE_TEMPLATE
        if opened and self.lines.place(opened.index)[0] != line:
            what = OPENED.get(error.context or "", "what is being read here")
            problem += f" ({what} began on line {self.lines.place(opened.index)[0]})"
        return Diagnostic(NOT_YAML, Span(self.file, line, column, end), "", problem, hint=hint)

    def _refuse_root(self, span: Span, problem: str, got: str = "") -> None:
        self._say(
            NOT_ONE_MAPPING,
            span,
            problem,
            expected="fields such as 'recipe: 1' and 'name: ...'",
            got=got,
        )

    def _say(self, problem_code: str, span: Span, problem: str, **words: str) -> None:
        if len(self.problems) >= LOOKED_FOR:
            problem = f"the text has more than {LOOKED_FOR:,} problems; what follows is not read"
            raise _Stop(Diagnostic(MANY_PROBLEMS, span, "", problem, hint=FIRST_THOSE_ABOVE))
        where = ".".join(self.path)
        self.problems.append(Diagnostic(problem_code, span, where, problem, **words))

    def _span(self, event: Any, end: int | None = None) -> Span:
        """From where the event begins to its end, or to the end of its first line."""
        line, column = self.lines.place(event.start_mark.index)
        last, end_column = self.lines.place(event.end_mark.index if end is None else end)
        if last != line:
            end_column = self.lines.end_of_line(line)
        return Span(self.file, line, column, max(end_column, column + 1))

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._check_depth(event, depth)
        self.values += 1
        if self.values > MAX_VALUES:
            raise self._stop(TOO_LARGE, event, TOO_MANY_VALUES, ROWS_ELSEWHERE)
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        node = self._read(event, depth)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _read(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._span(event), self._scalar(event))
        if event.flow_style and self.text.startswith("{{", event.start_mark.index):
            return self._template(event)
        self._check_tag(event, "!!seq" if isinstance(event, yaml.SequenceStartEvent) else "!!map")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        return self._mapping(event, depth)

    def _template(self, event: Any) -> Node:
        """`{{ who }}` is a mapping within a mapping to YAML, which nobody ever meant."""
        depth = 1
        while depth:
            last = next(self.events)
            depth += isinstance(last, yaml.CollectionStartEvent)
            depth -= isinstance(last, yaml.CollectionEndEvent)
        start, end = event.start_mark.index, last.end_mark.index
        span = self._span(event, end)
        words = " ".join(self.text[start:end].split())
        quoted = f': "{words}"' if len(words) <= 60 and '"' not in words else ""
        self._say(
            TEMPLATE,
            span,
            "'{{' begins a mapping of YAML, not a template",
            hint=f"put it in quotes{quoted}; only .j2 files are rendered",
        )
        return Node(span, "?")

    def _check_depth(self, event: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            problem = f"the text nests deeper than {MAX_DEPTH} levels"
            raise self._stop(TOO_DEEP, event, problem)

    def _alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self.anchors:
            problem = f"the alias {told('*' + event.anchor)} has no anchor before it"
            raise self._stop(NOT_YAML, event, problem, QUOTE_STAR)
        node = self.anchors[event.anchor]
        if node is None:
            problem = f"the alias {told('*' + event.anchor)} stands inside what it repeats"
            raise self._stop(TOO_DEEP, event, problem)
        self.repeated += node.size
        if self.repeated > MAX_REPEATED:
            problem = f"aliases repeat more than {MAX_REPEATED:,} values"
            raise self._stop(TOO_DEEP, event, problem)
        self._check_depth(event, depth + node.height)
        return replace(node, span=self._span(event))

    def _stop(self, problem_code: str, event: Any, problem: str, hint: str = "") -> _Stop:
        where = ".".join(self.path[:2])
        return _Stop(Diagnostic(problem_code, self._span(event), where, problem, hint=hint))

    def _sequence(self, event: Any, depth: int) -> Node:
        items: list[Node] = []
        for inner in self._inside(yaml.SequenceEndEvent):
            item = self._child(str(len(items)), inner, depth)
            if _is_blank(inner):
                self._say(
                    NO_VALUE,
                    item.span,
                    "this list item has no value",
                    hint="write one, or remove it",
                )
                continue
            items.append(item)
        size = 1 + sum(item.size for item in items)
        height = 1 + max((item.height for item in items), default=0)
        return Node(self._span(event, self.closed), tuple(items), size, height)

    def _mapping(self, event: Any, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        size = height = 1
        for inner in self._inside(yaml.MappingEndEvent):
            name, key = self._key(inner, depth)
            after = next(self.events)
            node = self._child(name or "?", after, depth)
            size += 1 + node.size
            height = max(height, 1 + node.height)
            if name is None:
                continue
            self.path.append(name)
            if name in entries:
                self._say(
                    DUPLICATE,
                    key,
                    f"'{name}' is written twice here",
                    hint=f"it stands first on line {entries[name].key.line}; keep one of them",
                )
            elif _is_blank(after):
                self._say(
                    NO_VALUE,
                    key,
                    f"nothing stands after '{name}:'",
                    hint="write a value, or null to leave it out",
                )
            else:
                entries[name] = Entry(key, node)
            self.path.pop()
        return Node(self._span(event, self.closed), entries, size, height)

    def _child(self, name: str, event: Any, depth: int) -> Node:
        self.path.append(name)
        node = self._node(event, depth + 1)
        self.path.pop()
        return node

    def _inside(self, closing: type[Any]) -> Iterator[Any]:
        """The events before the closing one, the place of which is then in `closed`."""
        for event in self.events:
            if isinstance(event, closing):
                self.closed = event.end_mark.index
                return
            yield event

    def _key(self, event: Any, depth: int) -> tuple[str | None, Span]:
        node = self._node(event, depth + 1)
        if isinstance(node.value, str) and len(node.value) <= MAX_NAME:
            return node.value, node.span
        if isinstance(node.value, str):
            self._say(
                BAD_KEY,
                node.span,
                "a field's name is too long",
                expected=f"at most {MAX_NAME} characters",
                got=f"{len(node.value):,}",
            )
            return None, node.span
        hint = "put it in quotes" if isinstance(event, yaml.ScalarEvent) else ""
        self._say(
            BAD_KEY,
            node.span,
            "a field's name must be a word",
            expected="text",
            got=told(plain(node)),
            hint=hint,
        )
        return None, node.span

    def _check_tag(self, event: Any, known: str) -> None:
        tag = (event.tag or "").replace("tag:yaml.org,2002:", "!!")
        if tag and tag not in ("!", known):
            self._say(
                BAD_TAG,
                self._span(event),
                f"the tag {told(tag)} is not known here",
                hint="remove the tag",
            )

    def _scalar(self, event: Any) -> Scalar:
        self._check_tag(event, "!!str")
        text: str = event.value
        if "\0" in text or half_character(text):
            self._say(BAD_SCALAR, self._span(event), "a text may not hold NUL or half a character")
            return "?"
        if not event.style and event.tag is None:
            try:
                return resolve(text)
            except ValueError:
                self._say(
                    BAD_SCALAR,
                    self._span(event),
                    "this number is too large, or not a number",
                    hint="put it in quotes if it is meant as text",
                )
        return text


def _is_blank(event: Any) -> bool:
    """Nothing at all is written, where `null` would be a word."""
    return (
        isinstance(event, yaml.ScalarEvent)
        and event.value == ""
        and not event.style
        and event.tag is None
    )


def _moved(node: Node, span: Span) -> Node:
    if isinstance(node.value, tuple):
        return replace(node, span=span, value=tuple(_moved(item, span) for item in node.value))
    if isinstance(node.value, Mapping):
        entries = {
            name: Entry(span, _moved(entry.node, span)) for name, entry in node.value.items()
        }
        return replace(node, span=span, value=entries)
    return replace(node, span=span)


QUOTE_STAR = "a text that begins with '*' or '&' needs quotes"
QUOTE_TEMPLATE = "put a text that holds {{ }} or {% %} in quotes"
UNQUOTED = re.compile(r"(:|^\s*-)\s+\{[{%]")
NO_COLON = "could not find expected ':'"
WORDS = (
    # What libyaml says → what it means to someone who writes a recipe.
    ("found character that cannot start any token", "this character cannot stand here",
     "indent with spaces, not tabs; put text with special characters in quotes"),
    ("mapping values are not allowed in this context", "a ':' cannot stand here",
     "check the indentation, or put text that holds ': ' in quotes"),
    ("did not find expected alphabetic or numeric character", "the name of an alias is missing",
     QUOTE_STAR),
    ("did not find expected key", "a field was expected here",
     "check the indentation of this line and of the one before"),
    ("did not find expected ',' or ']'", "a ',' or the ']' that ends the list is missing", ""),
    ("did not find expected ',' or '}'", "a ',' or the '}' that ends the mapping is missing",
     "put a text that holds { } or , in quotes"),
    ("did not find expected '-' indicator", "a list item '-' was expected here",
     "check the indentation"),
    (NO_COLON, "a ':' is missing after this field's name", "write it as 'name: value'"),
    ("found unexpected end of stream", "what is opened here has no end",
     "is a quote or a bracket left open?"),
    ("did not find expected <document start>", "the text goes on where it should end",
     "check the indentation"),
)  # fmt: skip


OPENED = {
    "while parsing a block mapping": "the block of fields",
    "while parsing a block collection": "the list",
    "while parsing a flow mapping": "the mapping {",
    "while parsing a flow sequence": "the list [",
    "while scanning a quoted scalar": "the text in quotes",
    "while scanning a simple key": "the field",
    "while scanning a block scalar": "the text",
}


def _in_words(problem: str) -> tuple[str, str]:
    for said, meant, hint in WORDS:
        if said == problem:
            return meant, hint
    return problem, ""

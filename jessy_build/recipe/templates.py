"""Templates that cannot surprise: strict names, no reach outside, a bound on what they may do.

What a template can call is listed here, not what it cannot. Each loop turn and each character
counts against one budget, so that no template runs or grows without end.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.idtracking import VAR_LOAD_RESOLVE
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from jessy_build.diagnostics import Diagnostic, RecipeError, Span, code, near
from jessy_build.recipe.model import Level, Persona, Range, Topic

SYNTAX = code("R401", "a template is not well formed")
UNDECLARED = code("R402", "a template reads a name that nothing sets")
FAILS = code("R403", "a template cannot be rendered")
NOT_ALONE = code("R404", "a template takes in another file")

MAX_TEMPLATE = 256 * 1024
BUDGET = 1_000_000
"""Characters that one rendering may handle."""
TURN = 10
"""What one turn of a loop counts for."""
MAX_RANGE = 10_000
MAX_NUMBER = 10**15

KNOWN = (
    *("category", "topic", "language", "language_name", "complexity", "iterations", "words"),
    *("persona", "ordinal", "sample", "system"),
)
"""What a category's prompt may read."""
KNOWN_TO_SYSTEM = ("persona",)
LANGUAGE_NAMES = {"tr": "Turkish", "en": "English", "mixed": "Turkish mixed with English"}


@dataclass(frozen=True)
class Template:
    path: Path
    shown: str
    text: str
    names: frozenset[str]
    """What it reads and does not set itself."""
    tree: nodes.Template = field(repr=False, compare=False)
    compiled: jinja2.Template = field(repr=False, compare=False)


class RenderError(Exception):
    """A template that cannot be rendered with these variables; `line` counts from 1."""

    def __init__(self, template: Template, line: int, problem: str) -> None:
        super().__init__(f"{template.shown}:{line}: {problem}")
        self.template = template
        self.line = line
        self.problem = problem

    def diagnostic(self, field_name: str = "", hint: str = "") -> Diagnostic:
        quoted = re.search(r"'(\w+)'", self.problem)
        span = _name_span(self.template, self.line, quoted[1] if quoted else "")
        return Diagnostic(FAILS, span, field_name, self.problem, hint=hint)


def parse(text: str, path: Path, shown: str) -> Template:
    """RecipeError for what is not well formed, or reaches for another file."""
    environment = _Environment()
    try:
        tree = environment.parse(text)
        problems = list(_reaching_out(tree, text, shown))
        compiled = environment.from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        problem, hint = _in_words(error.message or "this is not well formed")
        span = _line_span(shown, text, error.lineno)
        raise RecipeError([Diagnostic(SYNTAX, span, "", problem, hint=hint)]) from None
    except (RecursionError, SyntaxError, MemoryError, ValueError):
        problem = "the template nests too deeply"
        raise RecipeError([Diagnostic(SYNTAX, Span(shown, 1, 1, 2), "", problem)]) from None
    if problems:
        raise RecipeError(problems)
    return Template(path, shown, text, frozenset(environment.names), tree, compiled)


def undeclared(template: Template, known: Iterable[str]) -> Iterator[Diagnostic]:
    """Names that neither the tool nor the template itself sets."""
    known = tuple(known)
    names = template.names - set(known)
    for node in template.tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name in names:
            yield Diagnostic(
                UNDECLARED,
                _name_span(template, node.lineno, node.name),
                "",
                f"nothing sets '{node.name}'",
                expected=", ".join(known),
                hint=near(node.name, known),
            )


def fields_read(template: Template, name: str) -> set[str] | None:
    """Which `name.field`s the template reads; None when it uses `name` as a whole."""
    read = set()
    whole = sum(node.name == name for node in template.tree.find_all(nodes.Name))
    for attribute in template.tree.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name == name:
            read.add(attribute.attr)
            whole -= 1
    for item in template.tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == name:
            if not (isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str)):
                return None
            read.add(item.arg.value)
            whole -= 1
    return None if whole else read


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """RenderError for a name that is not set, and for whatever would not end."""
    environment = template.compiled.environment
    assert isinstance(environment, _Environment)
    environment.spent = 0
    parts = []
    try:
        context = template.compiled.new_context(dict(variables))
        for part in template.compiled.root_render_func(context):
            environment.spend(len(part))
            parts.append(part)
    except Exception as error:
        # A template is a program of the user's: whatever it raises is theirs to mend.
        line = _failing_line(template, error.__traceback__)
        raise RenderError(template, line, _said(error)) from None
    return "".join(parts).strip()


def persona_variables(persona: Persona | None) -> dict[str, Any]:
    if persona is None:
        return {}
    return {"name": persona.name, "vars": persona.vars}


def variables(
    *,
    category: str,
    topic: Topic,
    language: str,
    complexity: str,
    level: Level,
    persona: Persona | None,
    system: str | None,
    ordinal: int,
) -> dict[str, Any]:
    """What a prompt reads for one item: a value for each name in `KNOWN`."""
    return {
        "category": category,
        "topic": {**topic.vars, "name": topic.name},
        "language": language,
        "language_name": LANGUAGE_NAMES.get(language, language),
        "complexity": complexity,
        "iterations": level.iterations,
        "words": level.words,
        "persona": persona_variables(persona),
        "ordinal": ordinal,
        "sample": ordinal,
        "system": system or "",
    }


class _Refused(Exception):
    pass


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise _Refused(f"a range goes over {MAX_RANGE:,} numbers")
    return numbers


def _as_json(environment: "_Environment", value: Any) -> str:
    parts = []
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        environment.spend(len(part))
        parts.append(part)
    return "".join(parts)


def _join(environment: "_Environment", value: Iterable[Any], between: str = "") -> str:
    parts = []
    for part in value:
        parts.append(environment.printed(part))
        environment.spend(len(between) + len(parts[-1]))
    return between.join(parts)


def _replace(environment: "_Environment", text: str, old: str, new: str) -> str:
    environment.spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _indent(environment: "_Environment", text: str, width: int = 4, first: bool = False) -> str:
    lines = text.splitlines(keepends=True)
    environment.spend(len(lines) * max(width, 0))
    padded = [" " * width + line if line.strip() else line for line in lines]
    return "".join(padded if first else [*lines[:1], *padded[1:]])


GLOBALS: dict[str, Any] = {"range": _range, "namespace": Namespace}
OWN_FILTERS: dict[str, Callable[..., str]] = {
    "tojson": _as_json,
    "join": _join,
    "replace": _replace,
    "indent": _indent,
}
"""Those that make more than they are given: each counts it before it makes it."""
PLAIN_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items"),
    *("last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse"),
    *("round", "select", "selectattr", "sort", "title", "trim", "truncate", "unique", "upper"),
    "wordcount",
)
METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        ("capitalize", "count", "endswith", "find", "isdigit", "lower", "lstrip", "removeprefix")
        + ("removesuffix", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper")
    ),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("count", "index")),
    Range: frozenset(("min", "max")),
}


class _NamingGenerator(CodeGenerator):
    """Notes, while it compiles, which names the template reads and does not set itself."""

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        for action, name in frame.symbols.loads.values():
            if action == VAR_LOAD_RESOLVE and name not in GLOBALS:
                cast(_Environment, self.environment).names.add(str(name))


class _Environment(ImmutableSandboxedEnvironment):
    """One for each template: it also keeps count of what the rendering has spent."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))
    code_generator_class = _NamingGenerator

    def __init__(self) -> None:
        super().__init__(
            undefined=_Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self.printed,
            cache_size=0,
        )
        self.spent = 0
        self.names: set[str] = set()
        self.globals = dict(GLOBALS)
        self.tests = {name: TESTS[name] for name in TESTS if name not in ("filter", "test")}
        self.filters = {name: FILTERS[name] for name in PLAIN_FILTERS}
        for name, make in OWN_FILTERS.items():
            self.filters[name] = self._own(make)

    def spend(self, amount: int) -> None:
        self.spent += amount
        if self.spent > BUDGET:
            raise _Refused(f"the template makes more than {BUDGET:,} characters, or does not end")

    def turn(self, characters: int) -> str:
        self.spend(TURN + characters)
        return ""

    def printed(self, value: Any) -> Any:
        """What `{{ value }}` writes; Python's view of a list or a mapping is never meant."""
        if isinstance(value, jinja2.Undefined):
            return str(value)
        if isinstance(value, str | int | float | Range):
            text = str(value)
            self.spend(len(text))
            return text
        if isinstance(value, Mapping):
            fields = ", ".join(map(str, value)) or "nothing"
            raise _Refused(f"a mapping cannot be printed: name one of its fields ({fields})")
        if isinstance(value, list | tuple) or hasattr(value, "__next__"):
            raise _Refused("a list cannot be printed: write it with `| join(', ')`")
        raise _Refused(f"{_kind(value)} cannot be printed")

    def joined(self, *values: Any) -> str:
        return "".join(self.printed(value) for value in values)

    def flat(self, values: Any) -> Any:
        """Lists within lists written in a template could grow without bound while it runs."""
        inner = values.values() if isinstance(values, dict) else values
        for value in inner:
            if not isinstance(value, str | int | float | jinja2.Undefined):
                raise _Refused("a list written in a template holds texts and numbers only")
        return values

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return self.joined(left, right)
        for value in (left, right):
            if isinstance(value, jinja2.Undefined):
                str(value)
            if not isinstance(value, int | float):
                raise _Refused(f"'{operator}' takes numbers, not {_kind(value)}")
            if abs(value) > MAX_NUMBER or (operator == "**" and abs(value) > 64):
                raise _Refused(f"a number is too large for '{operator}'")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr.startswith("_"):
            return False
        if isinstance(obj, LoopContext | Namespace):
            return True
        return attr in METHODS.get(type(obj), ())

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        problem = f"'{attribute}' cannot be read in a template"
        return self.undefined(problem, name=attribute, obj=obj, exc=SecurityError)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, jinja2.Undefined):
            str(obj)
        if self._may_call(obj):
            return True
        name = getattr(obj, "__name__", "")
        raise SecurityError(f"'{name or 'this'}' cannot be called in a template")

    def _may_call(self, obj: Any) -> bool:
        if obj in (self.turn, self.joined, self.flat, _range, Namespace):
            return True
        if isinstance(obj, jinja2.runtime.Macro):
            return True
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, LoopContext):
            return True
        if isinstance(owner, str | dict | list):
            self.spend(len(owner))
            return getattr(obj, "__name__", "") in METHODS[type(owner)]
        return isinstance(obj, LoopContext)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _count_turns(source)
        return super()._generate(_Bounding().visit(source), *args, **kwargs)

    def _own(self, make: Callable[..., str]) -> Callable[..., str]:
        def run(*args: Any, **kwargs: Any) -> str:
            return make(self, *args, **kwargs)

        return run


class _Undefined(jinja2.StrictUndefined):
    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if not isinstance(self._undefined_obj, Mapping):
            return f"nothing sets '{name}'"
        fields = ", ".join(map(str, self._undefined_obj)) or "nothing"
        return f"there is no field '{name}' here (there is {fields})"


class _Bounding(NodeTransformer):
    """Sends what makes texts and lists through the environment, which counts it."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("joined", node.nodes, node.lineno)

    def visit_List(self, node: nodes.List | nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _call("flat", [node], node.lineno)

    visit_Dict = visit_List

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _call("flat", [node], node.lineno) if node.ctx == "load" else node


def _call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(function, arguments, [], None, None, lineno=line)


def _count_turns(tree: nodes.Template) -> None:
    kinds: Any = (nodes.For, nodes.Macro, nodes.CallBlock)
    for kind in kinds:
        for node in list(tree.find_all(kind)):
            written = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            turn = _call("turn", [nodes.Const(written, lineno=node.lineno)], node.lineno)
            node.body.insert(0, nodes.ExprStmt(turn, lineno=node.lineno))


REACHING_OUT = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)


def _reaching_out(tree: nodes.Template, text: str, shown: str) -> Iterator[Diagnostic]:
    for node in tree.find_all(REACHING_OUT):
        word = "from" if isinstance(node, nodes.FromImport) else type(node).__name__.lower()
        yield Diagnostic(
            NOT_ALONE,
            _line_span(shown, text, node.lineno),
            "",
            f"'{{% {word} %}}' is not known here: a template stands alone",
            hint="write the text out, or put what is shared into persona.system",
        )


def _failing_line(template: Template, trace: TracebackType | None) -> int:
    line = 1
    while trace is not None:
        if trace.tb_frame.f_globals.get("__jinja_template__") is template.compiled:
            line = template.compiled.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the template calls itself without end"
    text = " ".join(str(error).split())
    if isinstance(error, _Refused | jinja2.TemplateError):
        return text[:300]
    return f"this cannot be worked out: {text[:300]}" if text else "this cannot be worked out"


def _kind(value: Any) -> str:
    return {type(None): "null", str: "text", dict: "a mapping"}.get(type(value), "this")


def _line_span(shown: str, text: str, line: int) -> Span:
    lines = text.splitlines()
    words = lines[line - 1] if 0 < line <= len(lines) else ""
    start = len(words) - len(words.lstrip()) + 1
    return Span(shown, max(line, 1), start, max(len(words.rstrip()) + 1, start + 1))


def _name_span(template: Template, line: int, name: str) -> Span:
    lines = template.text.splitlines()
    words = lines[line - 1] if line <= len(lines) else ""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words)
    if not name or found is None:
        return _line_span(template.shown, template.text, line)
    return Span(template.shown, line, found.start() + 1, found.end() + 1)


NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")


def _in_words(message: str) -> tuple[str, str]:
    problem = message[:1].lower() + message[1:].rstrip(".")
    if found := NO_FILTER.match(message):
        names = (*PLAIN_FILTERS, *OWN_FILTERS) if found[1] == "filter" else tuple(TESTS)
        problem = f"there is no {found[1]} '{found[2]}'"
        return problem, near(found[2], names)
    return problem, ""
